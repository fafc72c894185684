"""A case in blocks as transforms see it: normalised image, label in the form that can be moved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.datasets.patches.block_file import BlockFile
from medicalseg.datasets.patches.previous import joined
from medicalseg.datasets.sample_masks import marked


class StoredVolume:
    """Boxes of a case; see `medicalseg.transforms.patch_view.Readable`.

    Args:
        image: the image's file.
        label: ids or codes; None where there is no label.
        earlier: ids of an earlier stage; None where there is none.
        codes: whether the label is codes of structures that may overlap.
        ignored: what stands for a label that is not there.
        normalize: "none", "max" or "zscore", see `Compose`; by the numbers of the whole image.
    """

    def __init__(
        self,
        image: BlockFile,
        label: BlockFile | None,
        earlier: BlockFile | None,
        codes: bool,
        ignored: int,
        normalize: str,
    ) -> None:
        self._image, self._label, self._earlier = image, label, earlier
        self._codes, self._ignored = codes, ignored
        self._normalize = normalize
        x, y, z = image.shape[-3:]
        self.sides = (x, y, z)

    def read(self, low: Sequence[int], high: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Image float32 (C, x, y, z) and label; only the blocks that the box touches are decoded."""
        image = normalized(self._image.read(low, high), self._image, self._normalize)
        label = self._moving_label(low, high)
        return image, label if self._earlier is None else joined(label, self._earlier.read(low, high))

    def _moving_label(self, low: Sequence[int], high: Sequence[int]) -> np.ndarray:
        if self._label is None:
            lengths = [stop - start for start, stop in zip(low, high, strict=True)]
            return np.full(lengths, self._ignored, np.int32)
        label = self._label.read(low, high)
        return marked(label.astype(np.int32)) if self._codes else label


def normalized(box: np.ndarray, image: BlockFile, normalize: str) -> np.ndarray:
    """A box of an image, normalised in place by the numbers of the whole image, see `Compose`."""
    shift, factor = _numbers(image, normalize)
    if shift:
        box -= np.float32(shift)
    if factor != 1:
        box /= np.float32(factor)
    return box


def _numbers(image: BlockFile, normalize: str) -> tuple[float, float]:
    if normalize == "none":
        return 0.0, 1.0
    maximum, deviation = image.meta["maximum"], image.meta["deviation"]
    if normalize == "max" and maximum > 0:
        return 0.0, maximum
    return image.meta["mean"], deviation if deviation > 0 else 1.0
