"""File names as BIDS has them: pairs `key-value` joined by `_`, and the contrast or kind of label at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medicalseg.io.files import case_name

LABEL_SUFFIXES = (("dseg",), ("msk", "seg", "mask", "label", "labels"))
"""Suffixes of labels; the second group counts where there is none of the first."""
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
