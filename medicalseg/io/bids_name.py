"""File names as BIDS has them: pairs `key-value` joined by `_`, and the contrast or kind of label at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medicalseg.io.files import case_name

LABEL_SUFFIXES = (("dseg",), ("msk", "seg", "mask", "label", "labels"))
"""Suffixes of labels; the second group counts where there is none of the first."""
DERIVATIVES = "derivatives"
OF_LABELS = ("space", "res", "den", "label", "desc", "seg", "hemi", "cohort")


@dataclass(frozen=True)
class BidsName:
    """A file name taken apart.

    Attributes:
        entities: values by key, in order, without those that only labels have.
        words: what stands without a key: contrasts, and last the suffix.
    """

    entities: tuple[tuple[str, str], ...]
    words: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> BidsName:
        """From "sub-01_ses-2_T2w.nii.gz"."""
        parts = case_name(path.name).split("_")
        pairs = [tuple(part.split("-", 1)) for part in parts if "-" in part]
        words = tuple(part for part in parts if "-" not in part)
        return cls(tuple((pair[0], pair[1]) for pair in pairs if pair[0] not in OF_LABELS), words)

    @property
    def is_bids(self) -> bool:
        """Whether the name is a subject's, with a contrast or another suffix."""
        return bool(self.words) and bool(self.entities) and self.entities[0][0] == "sub"

    @property
    def is_label(self) -> bool:
        """Whether the suffix is one that labels have."""
        return any(self.suffix in suffixes for suffixes in LABEL_SUFFIXES)

    @property
    def case(self) -> str:
        """ "sub-01_ses-2"."""
        return "_".join("-".join(pair) for pair in self.entities)

    @property
    def suffix(self) -> str:
        """The last word, "T2w" or "dseg"."""
        return self.words[-1] if self.words else ""


def images_among(paths: Sequence[Path], root: Path) -> list[Path]:
    """The files of a folder that are images, if it is BIDS-like: neither under derivatives/ nor with a label's suffix.

    Folders without a subject's image, and such with nothing else, are returned as they are.
    """
    names = {path: BidsName.of(path) for path in paths}
    shown = [path for path in paths if not names[path].is_label]
    raw = [path for path in shown if DERIVATIVES not in path.relative_to(root).parts]
    chosen = raw if any(names[path].is_bids for path in raw) else shown
    return chosen if any(names[path].is_bids for path in chosen) else list(paths)


def label_of(name: str, labels: Iterable[Path]) -> Path | None:
    """The label `sub-1_desc-manual_dseg` of an image `sub-1_T2w` or a case `sub-1`, if one alone fits."""
    subject = BidsName.of(Path(name))
    subject = subject if subject.words else BidsName.of(Path(f"{name}_image"))
    if not subject.is_bids:
        return None
    names = [(path, BidsName.of(path)) for path in labels]
    fitting = [path for path, label in names if label.is_bids and label.is_label and label.case == subject.case]
    return fitting[0] if len(fitting) == 1 else None


def labels_among(paths: Sequence[Path]) -> list[Path]:
    """The subjects' labels, where there are any, of each case those with the first suffix there is; else all files."""
    names = {path: BidsName.of(path) for path in paths}
    ranks = {path: _rank(name) for path, name in names.items() if name.is_bids and name.is_label}
    best: dict[str, int] = {}
    for path, rank in ranks.items():
        case = names[path].case
        best[case] = min(rank, best.get(case, rank))
    return [path for path, rank in ranks.items() if rank == best[names[path].case]] or list(paths)


def _rank(name: BidsName) -> int:
    return next(number for number, suffixes in enumerate(LABEL_SUFFIXES) if name.suffix in suffixes)
