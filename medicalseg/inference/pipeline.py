"""From a volume to its label map: the one road that evaluation, prediction and deployment share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.errors import VolumeError
from medicalseg.inference.network import Network
from medicalseg.inference.sliding_window import Inferer, WholeVolume
from medicalseg.inference.task import TaskSpec
from medicalseg.inference.timings import Timings
from medicalseg.io import Volume


def segment(
    volume: Volume,
    task: TaskSpec,
    network: Network,
    sliding: Inferer | None = None,
    timings: Timings | None = None,
) -> Volume:
    """Segment a volume on its own grid.

    Args:
        volume: an image as read, any grid and orientation.
        task: classes and preprocessing of the network.
        network: computes labels or logits.
        sliding: how the volume goes through the network; None = in one piece.
        timings: gets the seconds of "pre", "run" and "post".

    Returns:
        Label volume with the shape and geometry of `volume`.

    Raises:
        VolumeError: if the volume has not the channels that the network was trained on.
    """
    return segment_batch([volume], task, network, sliding, timings)[0]


def segment_batch(
    volumes: Sequence[Volume],
    task: TaskSpec,
    network: Network,
    sliding: Inferer | None = None,
    timings: Timings | None = None,
) -> list[Volume]:
    """Segment several volumes; those whose network grids are equal run through the network together.

    Args and errors are those of `segment`; a sliding window takes the volumes one by one.
    """
    timings = timings or Timings()
    prepared = []
    for volume in volumes:
        _check_channels(volume, task)
        with timings.measure("pre"):
            prepared.append(task.preprocessing.apply(volume))
    with timings.measure("run"):
        labels = _labels([image for image, _ in prepared], network, sliding)
    results = []
    for array, (_, record) in zip(labels, prepared, strict=True):
        with timings.measure("post"):
            restored = task.preprocessing.restore(array, record)
            results.append(restored.with_array(restored.array, labels=True))
    return results


def _labels(images: Sequence[np.ndarray], network: Network, sliding: Inferer | None) -> list[np.ndarray]:
    together = sliding is None and len({image.shape for image in images}) == 1
    if together:
        return list(network.labels(np.stack(images)))
    inferer = sliding or WholeVolume()
    return [inferer.labels(network, image) for image in images]


def _check_channels(volume: Volume, task: TaskSpec) -> None:
    if volume.channels != task.in_channels:
        where = volume.path or "the volume"
        raise VolumeError(f"{where} has {volume.channels} channel(s), the network takes {task.in_channels}")
