"""From a volume to its label map: the one road that evaluation, prediction and deployment share."""

from __future__ import annotations

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
    if volume.channels != task.in_channels:
        where = volume.path or "the volume"
        raise VolumeError(f"{where} has {volume.channels} channel(s), the network takes {task.in_channels}")
    timings = timings or Timings()
    with timings.measure("pre"):
        image, record = task.preprocessing.apply(volume)
    with timings.measure("run"):
        labels = (sliding or WholeVolume()).labels(network, image)
    del image
    with timings.measure("post"):
        restored = task.preprocessing.restore(labels, record)
        return restored.with_array(restored.array, labels=True)
