"""LungCoronavirus: CT of COVID-19 patients, left and right lung."""

from __future__ import annotations

import argparse
from pathlib import Path

from medicalseg.datasets.class_tables import LUNG_CORONAVIRUS
from medicalseg.datasets.decathlon_layout import volumes_in
from medicalseg.datasets.prepare import engine
from medicalseg.datasets.prepare.arguments import add_archives, add_common, add_size, check_common, make_split
from medicalseg.datasets.prepare.job import CaseSource, Job, Recipe
from medicalseg.datasets.prepare.raw import description_copy, find_folders, raw_folder
from medicalseg.errors import DataError
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.io import case_name

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this preparation's flags."""
    add_common(parser, ROOT)
    parser.set_defaults(val_fraction=0.25)
    add_archives(parser)
    add_size(parser, (128, 128, 128))


def run(args: argparse.Namespace) -> int:
    """Prepare; the exit code is 2 if a case is broken."""
    check_common(args)
    output = args.dataset_root / PHASE
    engine.check_origin(output, "real", args.force)
    raw = raw_folder(args, args.dataset_root / RAW, HOW_TO_GET)
    cases = find_cases(raw)
    job = Job(
        recipe=Recipe(output, preprocessing(args.size), raw, num_classes=len(LUNG_CORONAVIRUS), ignore_index=255),
        cases=cases,
        split=make_split([case.name for case in cases], args),
        labels=LUNG_CORONAVIRUS,
        description={
            "name": "LungCoronavirus",
            "description": "CT of COVID-19 patients with the lungs labelled",
            "reference": "Ma et al., COVID-19 CT Lung and Infection Segmentation Dataset, Zenodo 3757476 (2020)",
            "licence": "CC BY-NC-SA",
            "modality": {"0": "CT"},
        },
        copies=description_copy(args.dataset_root / RAW, args.raw_dir),
    )
    return engine.run(job, num_workers=args.num_workers, force=args.force).exit_code


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


def find_cases(raw: Path) -> list[CaseSource]:
    """Images and lung masks by name.

    Raises:
        DataError: a folder is missing or empty.
    """
    images, labels = _folder(raw, IMAGE_FOLDERS), _folder(raw, LABEL_FOLDERS)
    paths = volumes_in(images)
    if not paths:
        raise DataError(f"{images}: holds no volumes. {HOW_TO_GET}")
    by_name = {case_name(path): path for path in volumes_in(labels)}
    cases = []
    for path in paths:
        name = case_name(path)
        mask = label_name(name)
        cases.append(CaseSource(name, (path,), by_name.get(mask, labels / f"{mask}.nii.gz"), mask))
    return cases


def _folder(raw: Path, names: tuple[str, ...]) -> Path:
    found = [path for path in find_folders(raw, *names) if volumes_in(path)] or find_folders(raw, *names)
    if not found:
        raise DataError(f"{raw}: no folder {' or '.join(names)} in it. {HOW_TO_GET}")
    return found[0]
