"""LungCoronavirus: CT of COVID-19 patients, left and right lung."""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path

from medicalseg.datasets.class_tables import LUNG_CORONAVIRUS
from medicalseg.datasets.prepare.arguments import add_archives, add_common, add_size, make_split
from medicalseg.datasets.prepare.job import CaseSource, Job, Recipe
from medicalseg.datasets.prepare.pairs import images_in, pair_by_name
from medicalseg.datasets.prepare.raw import folder_named
from medicalseg.datasets.prepare.verb import prepare
from medicalseg.inference.preprocess import Preprocessing

HELP = "prepare LungCoronavirus (CT, 3 classes)"
ROOT = "data/lung_coronavirus"
PHASE = "lung_coronavirus_phase0"
RAW = "lung_coronavirus_raw"
HOW_TO_GET = (
    "The 20 CT volumes and their lung masks are public (Zenodo record 3757476): fetch the archives of images and lung "
    "masks and pass both with --archive, pass their addresses with --url, or an unpacked folder with --raw_dir"
)
IMAGE_FOLDERS = ("20_ncov_scan", "COVID-19-CT-Seg_20cases")
LABEL_FOLDERS = ("lung_mask",)
RADIOPAEDIA = re.compile(r"radiopaedia_\d+(?=_)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this preparation's flags."""
    add_common(parser, ROOT)
    parser.set_defaults(val_fraction=0.25)
    add_archives(parser)
    add_size(parser, (128, 128, 128))


def run(args: argparse.Namespace) -> int:
    """Prepare; the exit code is 2 if a case is broken."""
    return prepare(args, PHASE, RAW, HOW_TO_GET, partial(_job, args))


def _job(args: argparse.Namespace, raw: Path, output: Path) -> Job:
    return Job(
        recipe=Recipe(output, preprocessing(args.size), raw, num_classes=len(LUNG_CORONAVIRUS), ignore_index=255),
        cases=find_cases(raw),
        split=partial(make_split, args=args, group_of=patient_of),
        labels=LUNG_CORONAVIRUS,
        description={
            "name": "LungCoronavirus",
            "description": "CT of COVID-19 patients with the lungs labelled",
            "reference": "Ma et al., COVID-19 CT Lung and Infection Segmentation Dataset, Zenodo 3757476 (2020)",
            "licence": "CC BY-NC-SA",
            "modality": {"0": "CT"},
        },
        public_cases=20,
    )


def preprocessing(size: tuple[int, int, int] | list[int]) -> Preprocessing:
    """PaddleSeg3D's numbers: -1200..600 HU to 0..255, clipped, NaN as -2000 HU, then brought to `size`."""
    step = {"type": "window", "low": -1200.0, "high": 600.0, "out_low": 0.0, "out_high": 255.0, "nan": -2000.0}
    return Preprocessing(intensity=(step,), size=(size[0], size[1], size[2]))


def label_name(image_name: str) -> str:
    """Name of the lung mask that belongs to an image.

    Example:
        >>> label_name("radiopaedia_org_covid-19-pneumonia-4_85506_1-dcm")
        'radiopaedia_4_85506_1'
    """
    return image_name.replace("_org_covid-19-pneumonia-", "_").replace("-dcm", "").replace("_org_", "_")


def patient_of(name: str) -> str:
    """The patient of a volume: Radiopaedia numbers cases, and several series of one case are one patient's.

    Example:
        >>> patient_of("radiopaedia_org_covid-19-pneumonia-10_85902_3-dcm"), patient_of("coronacases_org_001")
        ('radiopaedia_10', 'coronacases_001')
    """
    name = label_name(name)
    found = RADIOPAEDIA.match(name)
    return found[0] if found else name


def find_cases(raw: Path) -> list[CaseSource]:
    """Images and lung masks by name.

    Raises:
        DataError: a folder is missing or empty.
    """
    images, labels = (folder_named(raw, names, HOW_TO_GET) for names in (IMAGE_FOLDERS, LABEL_FOLDERS))
    return pair_by_name(images_in(images, HOW_TO_GET), labels, label_name)
