"""Promise12, or Prostate_mri of six sites: transversal T2 MR of the prostate."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from medicalseg.datasets.class_tables import PROSTATE
from medicalseg.datasets.prepare.arguments import add_archives, add_common, add_size, make_split
from medicalseg.datasets.prepare.job import CaseSource, Job, Recipe
from medicalseg.datasets.prepare.pairs import natural_key, warn_of_lone_labels
from medicalseg.datasets.prepare.verb import prepare
from medicalseg.datasets.volume_files import volumes_in
from medicalseg.errors import DataError
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.io import case_name

HELP = "prepare Promise12 or Prostate_mri (MR of the prostate, 2 classes)"
SIZE = (512, 512, 24)
SUFFIX = "_segmentation"
TEST = "test_"
_PASS = "pass them with --archive, pass their addresses with --url, or an unpacked folder with --raw_dir"


@dataclass(frozen=True)
class _Collection:
    """What is particular to one of the two: see the attributes of `Job` and `Recipe`."""

    how_to_get: str
    description: Mapping[str, str]
    folder_in_name: bool = False
    label_ids: Mapping[int, int] | None = None
    public_cases: int | None = None


COLLECTIONS = {
    "Promise12": _Collection(
        "PROMISE12 is public (promise12.grand-challenge.org, Zenodo record 8026660): fetch the archives of the "
        f"training and, if wanted, test data and {_PASS}",
        {
            "description": "Transversal T2 MR of the prostate from several hospitals and scanners",
            "reference": "Litjens et al., Medical Image Analysis 18(2):359-373 (2014); promise12.grand-challenge.org",
            "licence": "see promise12.grand-challenge.org",
        },
        public_cases=50,
    ),
    "Prostate_mri": _Collection(
        f"Prostate_mri is public (liuquande.github.io/SAML): fetch the archive of its six sites and {_PASS}",
        {
            "description": "Transversal T2 MR of the prostate from six sites, of three public sets",
            "reference": "Liu et al., Shape-aware meta-learning, MICCAI 2020; liuquande.github.io/SAML",
            "licence": "see liuquande.github.io/SAML",
        },
        folder_in_name=True,
        label_ids={0: 0, 1: 1, 2: 1},
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this preparation's flags."""
    add_common(parser, "data/DATASET")
    parser.set_defaults(dataset_root=None)
    parser.add_argument(
        "--dataset", choices=tuple(COLLECTIONS), default="Promise12", help="which data it is (default: Promise12)"
    )
    add_archives(parser)
    add_size(parser, SIZE)


def run(args: argparse.Namespace) -> int:
    """Prepare; the exit code is 2 if a case is broken."""
    args.dataset_root = args.dataset_root or Path("data") / args.dataset
    phase, unpacked = f"{args.dataset}_phase0", f"{args.dataset}_raw"
    return prepare(args, phase, unpacked, COLLECTIONS[args.dataset].how_to_get, partial(_job, args))


def _job(args: argparse.Namespace, raw: Path, output: Path) -> Job:
    collection = COLLECTIONS[args.dataset]
    cases, test = find_cases(raw, collection.folder_in_name)
    if not cases:
        raise DataError(f"{raw}: no volumes CaseN with CaseN{SUFFIX} in it. {collection.how_to_get}")
    return Job(
        recipe=Recipe(output, preprocessing(args.size), raw, len(PROSTATE), 255, collection.label_ids),
        cases=cases,
        split=partial(make_split, args=args),
        labels=PROSTATE,
        description={"name": args.dataset, **collection.description, "modality": {"0": "MRI-T2"}},
        test=test,
        public_cases=collection.public_cases,
    )


def preprocessing(size: tuple[int, int, int] | list[int]) -> Preprocessing:
    """PaddleSeg3D's numbers: each volume's smallest value becomes 0, its largest 1, then it is brought to `size`."""
    return Preprocessing(intensity=({"type": "minmax"},), size=(size[0], size[1], size[2]))


def find_cases(raw: Path, folder_in_name: bool = False) -> tuple[list[CaseSource], list[CaseSource]]:
    """Training cases, `CaseN` with `CaseN_segmentation` beside it, and test cases, sorted by number.

    A folder is one of test cases if it holds no segmentations and its path below `raw` has the word "test"; its cases
    are called `test_CaseN`, since their numbers start anew.

    Args:
        raw: folder of folders.
        folder_in_name: training cases are called `FOLDER_CaseN`, since their numbers start anew in each folder.
    """
    cases, test = [], []
    for folder in [raw, *sorted(path for path in raw.rglob("*") if path.is_dir() and "__MACOSX" not in path.parts)]:
        images, labels = _told_apart(volumes_in(folder))
        if not labels and "test" in folder.relative_to(raw).as_posix().lower():
            test += [CaseSource(TEST + case_name(path), (path,)) for path in images]
        else:
            prefix = f"{folder.name}_" if folder_in_name else ""
            cases += [_labelled(path, labels, prefix) for path in images]
            named = {f"{case_name(path)}{SUFFIX}".lower() for path in images}
            warn_of_lone_labels(path for name, path in labels.items() if name not in named)
    cases.sort(key=lambda case: natural_key(case.name))
    return cases, sorted(test, key=lambda case: natural_key(case.name))


def _told_apart(paths: Iterable[Path]) -> tuple[list[Path], dict[str, Path]]:
    images, labels = [], {}
    for path in paths:
        name = case_name(path)
        if name.lower().endswith(SUFFIX):
            labels[name.lower()] = path
        else:
            images.append(path)
    return images, labels


def _labelled(image: Path, labels: dict[str, Path], prefix: str) -> CaseSource:
    name = case_name(image)
    fallback = image.with_name(f"{name}{SUFFIX}{image.name[len(name) :]}")
    label = labels.get(f"{name}{SUFFIX}".lower(), fallback)
    return CaseSource(f"{prefix}{name}", (image,), label, f"{prefix}{name}{SUFFIX}")
