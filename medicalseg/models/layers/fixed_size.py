"""The rule of networks whose position tables were made for one size of the input."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from medicalseg.errors import ConfigError, UserError
from medicalseg.models.layers.sizes import SizeRule, Triple, as_sizes


class FixedSize(SizeRule):
    """One size that fits, and no other; larger volumes go through the network in windows of it.

    Args:
        shape: (X, Y, Z) in voxels.
        argument: the network's argument that says so, for messages.

    Example:
        >>> FixedSize((128, 128, 128)).next_fitting((155, 240, 240))
        (128, 128, 128)
    """

    def __init__(self, shape: Triple, argument: str = "img_shape") -> None:
        super().__init__((shape,), (shape,))
        self.shape = tuple(shape)
        self.argument = argument

    def next_fitting(self, shape: Sequence[int]) -> Triple:
        """The one size that fits."""
        x, y, z = self.shape
        return (x, y, z)

    def check(self, shape: Sequence[int], network: str) -> None:
        """Refuse every other size.

        Raises:
            UserError: names the size that fits and what can be done.
        """
        if tuple(shape) == self.shape:
            return
        given, good = ("x".join(map(str, size)) for size in (shape, self.shape))
        raise UserError(
            f"{network} was built for volumes of {good} voxels (model.{self.argument}), got {given}; the next size "
            f"that fits is {good}: train on crops of it, evaluate in windows of it (test_config.sliding), or build the "
            f"network for another {self.argument}"
        )


def as_shape(value: Any, name: str) -> Triple:
    """One size (X, Y, Z) from a configuration; PaddleSeg3D writes it as a text, "(128, 128, 128)".

    Args:
        value: three positive integers, one for all axes, or such a text.
        name: the argument's name, for the message.

    Raises:
        ConfigError: it is something else.

    Example:
        >>> as_shape("(128, 128, 64)", "UNETR.img_shape")
        (128, 128, 64)
    """
    read = value
    if isinstance(value, str):
        try:
            read = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise ConfigError(f"{name}: {value!r} is not a size such as [128, 128, 128]") from error
    x, y, z = as_sizes([read], 1, 3, name)[0]
    return (x, y, z)
