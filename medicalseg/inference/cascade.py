"""A cascade: the labels of an earlier network as further channels of an image.

An image carries them as one channel of ids behind its own. Only what goes through the network at once, a window or some
slices, has one channel per id.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medicalseg.errors import UserError
from medicalseg.inference.decision import Decision
from medicalseg.inference.grid import GridRecord
from medicalseg.inference.network import Network
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume


def with_previous(image: np.ndarray, record: GridRecord, previous: Volume | None, task: TaskSpec) -> np.ndarray:
    """The image with the ids of an earlier network as one channel behind its own.

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
    ids = task.preprocessing.apply_label(previous, record, id_type(count))
    highest = int(previous.array.max())
    if not 0 <= int(previous.array.min()) <= highest <= count:
        raise UserError(f"the earlier network's ids reach {highest}; the cascade takes ids up to {count}")
    return with_ids(image, ids)


def id_type(classes: int) -> type[np.integer]:
    """The smallest type of so many foreground ids."""
    return np.uint8 if classes <= np.iinfo(np.uint8).max else np.int32


def with_ids(image: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(C + 1, X, Y, Z) float32: the image (C, X, Y, Z) and ids (X, Y, Z) behind it."""
    result = np.empty((len(image) + 1, *image.shape[1:]), np.float32)
    result[:-1], result[-1] = image, ids
    return result


def one_hot(ids: np.ndarray, count: int) -> np.ndarray:
    """(count, ...) float32: 1 where the id is channel + 1."""
    out = np.empty((count, *ids.shape), np.float32)
    for channel in range(count):
        np.equal(ids, channel + 1, out=out[channel])
    return out


@dataclass(frozen=True)
class EarlierIds:
    """Where the channel of ids is in a network's input, and how many channels it becomes.

    Attributes:
        classes: foreground ids.
        slices: images in a stack, each with its channels and the one of ids.
    """

    classes: int
    slices: int = 1

    @classmethod
    def of(cls, task: TaskSpec) -> EarlierIds | None:
        """Of a task; None where it is no cascade's."""
        if not task.previous_classes:
            return None
        return cls(task.previous_classes, 1 if task.slices is None else task.slices.num_slices)

    def expanded(self, x: np.ndarray) -> np.ndarray:
        """What the network takes: (N, n (C + K), ...) for (N, n (C + 1), ...) with the ids last of every C + 1."""
        stacks = x.reshape(len(x), self.slices, -1, *x.shape[2:])
        own = stacks.shape[2] - 1
        result = np.empty((*stacks.shape[:2], own + self.classes, *x.shape[2:]), np.float32)
        result[:, :, :own] = stacks[:, :, :own]
        for channel in range(self.classes):
            np.equal(stacks[:, :, own], channel + 1, out=result[:, :, own + channel])
        return result.reshape(len(x), -1, *x.shape[2:])


class WithEarlierIds:
    """A network whose input is expanded as it comes; see `Network`.

    Args:
        network: takes a channel per id.
        earlier: how.
    """

    def __init__(self, network: Network, earlier: EarlierIds) -> None:
        self.network, self._earlier = network, earlier
        self.decision: Decision = network.decision
        self.gives_probabilities = network.gives_probabilities

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Of the expanded input."""
        return self.network.logits(self._earlier.expanded(x))

    def labels(self, x: np.ndarray) -> np.ndarray:
        """Of the expanded input."""
        return self.network.labels(self._earlier.expanded(x))

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Of the expanded input."""
        return self.network.probabilities(self._earlier.expanded(x))

    def decide(self, logits: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """As the network decides."""
        return self.network.decide(logits, weights)

    def probabilities_of(self, logits: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """As the network makes them."""
        return self.network.probabilities_of(logits, weights)
