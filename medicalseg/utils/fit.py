"""What of a checkpoint fits a network, and words for what does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medicalseg.utils.words import counted

LISTED = 8


@dataclass(frozen=True)
class Fit:
    """A file's state beside a network's.

    Attributes:
        fitting: arrays that the network takes, by key.
        shapes: of keys that both have with another shape: that in the file and that in the network.
        missing: shapes of the network's keys that the file has not.
        extra: keys of the file that the network has not.
    """

    fitting: dict[str, np.ndarray]
    shapes: dict[str, tuple[list[int], list[int]]]
    missing: dict[str, list[int]]
    extra: list[str]

    @classmethod
    def of(cls, own: Mapping[str, Any], state: Mapping[str, Any]) -> Fit:
        """Compare the state dict `own` of a network with a file's `state`, by key and shape."""
        fitting, shapes, missing = {}, {}, {}
        for key, tensor in own.items():
            value, shape = state.get(key), list(tensor.shape)
            if not isinstance(value, np.ndarray):
                missing[key] = shape
            elif list(value.shape) != shape:
                shapes[key] = (list(value.shape), shape)
            else:
                fitting[key] = value
        return cls(fitting, shapes, missing, [key for key in state if key not in own])

    @property
    def complete(self) -> bool:
        """Whether file and network have the same keys and shapes."""
        return not (self.shapes or self.missing or self.extra)

    @property
    def problems(self) -> str:
        """Each kind of difference with its number and the first keys and shapes, in one line."""
        shapes = [f"{key} is {there} in the file, {here} in the network" for key, (there, here) in self.shapes.items()]
        missing = [f"{key} {shape}" for key, shape in self.missing.items()]
        kinds = (
            (counted(len(shapes), "tensor has another shape", "tensors have another shape"), shapes),
            (counted(len(missing), "is missing in the file", "are missing in the file"), missing),
            (counted(len(self.extra), "is in the file only", "are in the file only"), self.extra),
        )
        return ". ".join(f"{title}: {listing(items)}" for title, items in kinds if items)

    def hint(self, model: Any) -> str:
        """What to set in the configuration, if other numbers of classes or channels explain every difference."""
        if not self.shapes or self.missing or self.extra:
            return ""
        pairs = {pair for file, own in self.shapes.values() for pair in _differing(file, own)}
        settings = {getattr(model, name, None): name for name in ("in_channels", "num_classes")}
        numbers = [here for _, here in pairs]
        if len(settings) < 2 or len(set(numbers)) < len(numbers) or not set(numbers) <= set(settings):
            return ""
        wanted = " and ".join(f"model.{settings[here]}: {there}" for there, here in sorted(pairs))
        return f". The file would fit with {wanted}"


def listing(items: Sequence[str]) -> str:
    """The first of them in one line, and how many more there are."""
    more = len(items) - LISTED
    return "; ".join(items[:LISTED]) + (f"; and {more} more" if more > 0 else "")


def _differing(file: list[int], own: list[int]) -> list[tuple[int, int]]:
    if len(file) != len(own):
        return [(-1, -1)]
    return [(there, here) for there, here in zip(file, own, strict=True) if there != here]
