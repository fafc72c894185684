"""From a volume to its label map: the one road that evaluation, prediction and deployment share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.inference.grid import GridRecord
from medicalseg.inference.input_check import check_input
from medicalseg.inference.network import Network
from medicalseg.inference.slice_wise import inferer_for
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
        sliding: how the volume goes through the network; None = in one piece, or slice by slice as the task says.
        timings: gets the seconds of "pre", "run" and "post".

    Returns:
        Label volume with the shape and geometry of `volume`; of structures that may overlap their codes, see
        `medicalseg.inference.decision`.

    Raises:
        VolumeError: if the volume is not of the kind, or has not the channels, that the network was trained on.
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
    prepared = [prepare(volume, task, timings) for volume in volumes]
    with timings.measure("run"):
        labels = run_network([image for image, _ in prepared], network, inferer_for(task, sliding))
    return [restore(array, record, task, timings) for array, (_, record) in zip(labels, prepared, strict=True)]


def prepare(volume: Volume, task: TaskSpec, timings: Timings) -> tuple[np.ndarray, GridRecord]:
    """First part of `segment`: the network's input (C, X, Y, Z) and the way back; seconds of "pre"."""
    check_input(volume, task)
    with timings.measure("pre"):
        return task.preprocessing.apply(volume)


def run_network(images: Sequence[np.ndarray], network: Network, sliding: Inferer | None) -> list[np.ndarray]:
    """Second part of `segment`: labels (X, Y, Z) of inputs (C, X, Y, Z); those of one shape run together."""
    return (sliding or WholeVolume()).labels_of_all(network, images)


def restore(labels: np.ndarray, record: GridRecord, task: TaskSpec, timings: Timings) -> Volume:
    """Last part of `segment`: ids, or codes, on the image's own grid; seconds of "post"."""
    with timings.measure("post"):
        return task.restore(labels, record)
