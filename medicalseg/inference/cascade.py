"""A cascade: the labels of an earlier network as further channels of an image."""

from __future__ import annotations

import numpy as np

from medicalseg.errors import UserError
from medicalseg.inference.grid import GridRecord
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume


def with_previous(image: np.ndarray, record: GridRecord, previous: Volume | None, task: TaskSpec) -> np.ndarray:
    """The image with one channel per foreground id of an earlier network, behind its own.

    Args:
        image: (C, X, Y, Z) on the network's grid.
        record: the way to it.
        previous: ids (X, Y, Z) of the earlier network on the original grid.
        task: `previous_classes` says how many ids there are; with 0 the image is returned as it is.

    Raises:
        UserError: if labels are needed and missing, or have another grid or other ids.
    """
    count = task.previous_classes
    if not count:
        return image
    if previous is None:
        raise UserError(
            f"the network is the second of a cascade: it needs the labels of the first, with {count} foreground ids; "
            "give --previous_config and --previous_model_path"
        )
    if previous.shape != record.shape:
        raise UserError(f"the earlier network's labels have the shape {previous.shape}, the image {record.shape}")
    ids = task.preprocessing.apply_label(previous, record)
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= count:
        raise UserError(f"the earlier network's ids reach {int(ids.max())}; the cascade takes ids up to {count}")
    result = np.empty((len(image) + count, *image.shape[1:]), np.float32)
    result[: len(image)] = image
    one_hot(ids, count, result[len(image) :])
    return result


def one_hot(ids: np.ndarray, count: int, out: np.ndarray | None = None) -> np.ndarray:
    """(count, ...) float32: 1 where the id is channel + 1."""
    out = np.empty((count, *ids.shape), np.float32) if out is None else out
    for channel in range(count):
        np.equal(ids, channel + 1, out=out[channel])
    return out
