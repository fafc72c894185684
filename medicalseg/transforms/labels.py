"""Label ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import Transform
from medicalseg.transforms.checks import Arguments

_TABLE_LIMIT = 65535


@manager.TRANSFORMS.add_component
class LabelRemap(Transform):
    """Exchange label ids, all at once: {1: 2, 2: 1} swaps them.

    Args:
        mapping: old id -> new id.
        default: id for everything that `mapping` does not name; default: it is kept.

    Example:
        >>> import numpy as np
        >>> label = np.array([[[0, 1, 2, 3]]])
        >>> LabelRemap({1: 2, 2: 3})(np.zeros(label.shape), label)[1].tolist()
        [[[0, 2, 3, 3]]]
    """

    def __init__(self, mapping: Mapping[int, int], default: int | None = None) -> None:
        arguments = Arguments(self)
        if not isinstance(mapping, Mapping):
            arguments.refuse("mapping", "a mapping {old id: new id}", mapping)
        self.mapping = {
            arguments.whole("mapping", old): arguments.whole("mapping", new, 0) for old, new in mapping.items()
        }
        self.default = None if default is None else arguments.whole("default", default, 0)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        return image, None if label is None else self.remap(label)

    def remap(self, label: np.ndarray) -> np.ndarray:
        """The label with new ids; its type is kept where it can hold them, otherwise int32."""
        low, high = int(label.min()), int(label.max())
        if high - low > _TABLE_LIMIT:
            ids, places = np.unique(label, return_inverse=True)
            return self._new_ids(ids.tolist(), label.dtype)[places.reshape(label.shape)]
        return self._new_ids(range(low, high + 1), label.dtype)[label.astype(np.intp) - low]

    def _new_ids(self, ids: Iterable[int], dtype: np.dtype) -> np.ndarray:
        new = [self.mapping.get(old, old if self.default is None else self.default) for old in ids]
        fits = dtype.kind in "ui" and max(new) <= np.iinfo(dtype).max
        return np.asarray(new, dtype=dtype if fits else np.int32)
