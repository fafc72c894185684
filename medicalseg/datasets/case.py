"""One case of a dataset: where its image and its label lie."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from medicalseg.errors import DataError, RunError, UserError

SAMPLES, SAMPLE_BYTES = 64, 4096


@dataclass(frozen=True)
class Case:
    """Files of one case.

    Attributes:
        name: case name, unique in its dataset.
        images: one file, or one file per channel.
        label: label file; None if the case has none.
        original: label on the original grid, where `label` was resampled; None if there is none.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None = None
    original: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Images and label."""
        return self.images if self.label is None else (*self.images, self.label)


def content_hash(cases: Iterable[Case], extra: str = "") -> str:
    """SHA-256 over case names, file names, sizes and samples from beginning to end of every file: all of a small one, a
    quarter of a megabyte of a large one.

    It tells one state of a dataset from another on any machine without reading all of it.

    Args:
        cases: the cases, in order.
        extra: anything else that belongs to the state (a preprocessing).
    """
    digest = hashlib.sha256(extra.encode())
    for case in cases:
        digest.update(case.name.encode())
        for path in case.files:
            digest.update(f"\0{path.name}\0".encode())
            if path.is_file():
                size = path.stat().st_size
                digest.update(str(size).encode())
                with open(path, "rb") as handle:
                    for start in range(0, size, max(SAMPLE_BYTES, size // SAMPLES)):
                        handle.seek(start)
                        digest.update(handle.read(SAMPLE_BYTES))
    return digest.hexdigest()


@contextlib.contextmanager
def naming(case: Case) -> Iterator[None]:
    """Errors inside the block name the case and its files; a `RunError` is not the case's."""
    try:
        yield
    except RunError:
        raise
    except Exception as error:
        files = ", ".join(str(path) for path in case.files)
        text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise DataError(" ".join(f"case {case.name}: {text} ({files})".split())) from error
