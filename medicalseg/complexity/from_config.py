"""The size at which a configuration's network is used, where the file tells it without its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medicalseg.errors import MedicalSegError, UserError
from medicalseg.inference.slices import SliceSpec

if TYPE_CHECKING:
    from medicalseg.cvlibs import Config

DATASETS = ("val_dataset", "train_dataset", "test_dataset")
SMALLEST = 32
SMALLEST_SIZE = "the smallest size that is of use"


def input_shape(
    config: Config,
    model: Any,
    given: Sequence[int] | None = None,
    size: Sequence[int | None] | None = None,
    slices: SliceSpec | None = None,
) -> tuple[tuple[int, ...], str]:
    """The shape (1, C, ...) that the network is used at, and where it comes from.

    Args:
        config: of the network; its datasets are opened only if the file itself tells no size.
        model: the network.
        given: spatial sizes alone, or with batch and channels.
        size: the grid (X, Y, Z) of the data, where it is known, None for an axis that keeps its voxels; else the
            configuration tells.
        slices: how a network for images sees it, likewise.

    Raises:
        UserError: if `given` has another number of sizes.
    """
    axes = int(getattr(model, "spatial_axes", 3))
    channels = int(getattr(model, "in_channels", 1))
    if given is not None:
        if len(given) not in (axes, axes + 2):
            names = "H W" if axes == 2 else "X Y Z"
            raise UserError(f"--input_shape: {type(model).__name__} needs {names}, or N C {names}, got {list(given)}")
        return (tuple(given) if len(given) == axes + 2 else (1, channels, *given)), "--input_shape"
    known, source = (list(size), "the data's grid") if size else _configured_size(config)
    if known is None:
        smallest = getattr(model, "smallest_input", None) or ()
        known, source = [max(SMALLEST, *smallest) if smallest else SMALLEST] * axes, SMALLEST_SIZE
    elif axes == 2:
        known = _plane(known, slices or slices_of(config))
    sides = [SMALLEST if side is None else side for side in known]
    only = getattr(model, "only_size", None)
    if only is not None:
        sides, source = list(only), "the network's only size"
    fitting = getattr(model, "next_input_shape", tuple)(sides) if axes == 3 else sides
    return (1, channels, *(int(n) for n in fitting)), source


def volume_size(config: Config) -> list[int] | None:
    """Size (X, Y, Z) that the network's data are brought to; None if that is not known."""
    known = _configured_size(config, transforms=False)[0] or [None]
    sides = [side for side in known if side is not None]
    return sides if len(sides) == len(known) else None


def slices_of(config: Config) -> SliceSpec | None:
    """How the network sees volumes; None = whole, or as single images."""
    content = config.dic
    for key in DATASETS:
        slices = (content.get(key) or {}).get("slices")
        if slices is not None:
            return SliceSpec.from_dict(slices)
    return None


def _configured_size(config: Config, transforms: bool = True) -> tuple[list[int | None] | None, str]:
    """A size (X, Y, Z) or (H, W), None for an axis that keeps its voxels, and its source."""
    content = config.dic
    for key in DATASETS:
        size = ((content.get(key) or {}).get("preprocess") or {}).get("size")
        if size:
            return _sizes(size), f"{key}.preprocess.size"
    for key in DATASETS if transforms else ():
        for transform in reversed((content.get(key) or {}).get("transforms") or []):
            if isinstance(transform, Mapping) and transform.get("size"):
                return _sizes(transform["size"]), f"{key}: {transform.get('type')}.size"
    for key in DATASETS if transforms else ():
        size = _first_case(config, key) if content.get(key) else None
        if size:
            return size, f"the first case of {key}"
    return None, ""


def _first_case(config: Config, key: str) -> list[int | None] | None:
    """Size (X, Y, Z) of the first case as the network gets it; None if the data are not there."""
    try:
        dataset = getattr(config, key)
        size = dataset.task.preprocessing.size
        return _sizes(size) if size else list(dataset[0][0].shape[1:])
    except (MedicalSegError, OSError, AttributeError, IndexError):
        return None


def _sizes(value: Any) -> list[int | None]:
    """As three integers, None for an axis that keeps its voxels."""
    return [int(value)] * 3 if isinstance(value, int) else [None if n is None else int(n) for n in value]


def _plane(size: Sequence[int | None], slices: SliceSpec | None) -> list[int | None]:
    """(H, W) of a size (X, Y, Z)."""
    if len(size) == 2:
        return list(size)
    columns, rows = (slices or SliceSpec()).plane
    return [size[rows], size[columns]]
