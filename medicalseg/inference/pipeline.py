"""From a volume to its label map: the one road that evaluation, prediction and deployment share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medicalseg.inference.cascade import with_previous
from medicalseg.inference.grid import GridRecord, Triple
from medicalseg.inference.input_check import check_input
from medicalseg.inference.network import Network
from medicalseg.inference.scores import ScoresToOriginal
from medicalseg.inference.slice_wise import inferer_for
from medicalseg.inference.sliding_window import Inferer, Part, WholeVolume
from medicalseg.inference.task import TaskSpec
from medicalseg.inference.timings import Timings
from medicalseg.io import Volume


@dataclass
class Result:
    """What a network made of an image; ids, or codes of sigmoids.

    Attributes:
        labels: (X, Y, Z) on the network's grid; None where they were decided on the original grid.
        restored: (X, Y, Z) on the original grid, as stored; None where they were decided on the network's.
        uncertainty: (X, Y, Z) float32 on the original grid, see `ScoresToOriginal`; None where not asked for.
    """

    labels: np.ndarray | None = None
    restored: np.ndarray | None = None
    uncertainty: np.ndarray | None = None


class Collector:
    """Makes labels of the parts that an inferer gives, on the grid that the task's `restoring` says.

    Args:
        task: of the network.
        network: decides.
        record: the way back to the original grid; None = labels on the network's grid are wanted, whatever the task.
        axes: in whose order parts come.
        shape: (X, Y, Z) of the network's grid.
        uncertainty: also compute it; needs a record.
    """

    def __init__(
        self,
        task: TaskSpec,
        network: Network,
        record: GridRecord | None,
        axes: Triple,
        shape: Sequence[int],
        uncertainty: bool = False,
    ) -> None:
        self._task, self._network, self._record, self._axes = task, network, record, axes
        on_original = record is not None and task.restoring == "scores"
        self._uncertainty = uncertainty and record is not None
        self._scores: ScoresToOriginal | None = None
        self._needs_scores = on_original or self._uncertainty
        self._keeps_scores = on_original
        self._labels = None if on_original else np.empty(shape, label_type(task))

    def add(self, part: Part) -> None:
        """Take a finished part, whose scores are overwritten."""
        if self._labels is not None:
            self._labels[part.region] = self._network.decide(part.scores, part.weights)
        if not self._needs_scores or self._record is None:
            return
        probabilities = self._network.probabilities_of(part.scores, part.weights)
        if self._scores is None:
            self._scores = ScoresToOriginal(
                self._record, self._task.decision, len(probabilities), self._axes, self._uncertainty
            )
        self._scores.add(part.region, probabilities)

    def result(self) -> Result:
        """After the last part."""
        if self._scores is None:
            return Result(self._labels)
        restored = self._scores.labels if self._keeps_scores else None
        return Result(self._labels, restored, self._scores.uncertainty)


def label_type(task: TaskSpec) -> type[np.integer]:
    """The smallest unsigned type of a task's labels; int32 beyond 65535."""
    highest = (1 << task.num_classes) - 1 if task.head == "sigmoid" else task.num_classes - 1
    return next((kind for kind in (np.uint8, np.uint16) if highest <= np.iinfo(kind).max), np.int32)


def segment(
    volume: Volume,
    task: TaskSpec,
    network: Network,
    sliding: Inferer | None = None,
    timings: Timings | None = None,
    previous: Volume | None = None,
) -> Volume:
    """Segment a volume on its own grid.

    Args:
        volume: an image as read, any grid and orientation.
        task: classes and preprocessing of the network, what is restored, and postprocessing.
        network: computes labels or logits.
        sliding: how the volume goes through the network; None = as the task says.
        timings: gets the seconds of "pre", "run" and "post".
        previous: of a cascade, the labels of the earlier network on the grid of `volume`.

    Returns:
        Label volume with the shape and geometry of `volume`; of structures that may overlap their codes, see
        `medicalseg.inference.decision`.

    Raises:
        VolumeError: if the volume is not of the kind, or has not the channels, that the network was trained on.
        UserError: if the task is a cascade's and `previous` is missing.
    """
    timings = timings or Timings()
    image, record = prepare(volume, task, timings, previous)
    with timings.measure("run"):
        result = run_network([image], [record], task, network, inferer_for(task, sliding))[0]
    del image
    return restore(result, record, task, timings)


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
    records = [record for _, record in prepared]
    with timings.measure("run"):
        results = run_network([image for image, _ in prepared], records, task, network, inferer_for(task, sliding))
    return [restore(result, record, task, timings) for result, record in zip(results, records, strict=True)]


def prepare(
    volume: Volume, task: TaskSpec, timings: Timings, previous: Volume | None = None
) -> tuple[np.ndarray, GridRecord]:
    """First part of `segment`: the network's input (C, X, Y, Z) and the way back; seconds of "pre"."""
    check_input(volume, task)
    with timings.measure("pre"):
        image, record = task.preprocessing.apply(volume)
        return with_previous(image, record, previous, task), record


def run_network(
    images: Sequence[np.ndarray],
    records: Sequence[GridRecord],
    task: TaskSpec,
    network: Network,
    inferer: Inferer | None = None,
    uncertainty: bool = False,
) -> list[Result]:
    """Second part of `segment`: inputs (C, X, Y, Z) to labels; where labels are restored, those of one shape run
    together."""
    inferer = inferer or WholeVolume()
    if task.restoring == "labels" and not uncertainty:
        return [Result(labels) for labels in inferer.labels_of_all(network, images, label_type(task))]
    results = []
    for image, record in zip(images, records, strict=True):
        shape = image.shape[-3:]
        collector = Collector(task, network, record, inferer.axes(shape), shape, uncertainty)
        for part in inferer.parts(network, image):
            collector.add(part)
            del part
        results.append(collector.result())
    return results


def restore(result: Result, record: GridRecord, task: TaskSpec, timings: Timings) -> Volume:
    """Last part of `segment`: ids, or codes, on the image's own grid, postprocessed; seconds of "post"."""
    with timings.measure("post"):
        return to_original(result, record, task)


def to_original(result: Result, record: GridRecord, task: TaskSpec) -> Volume:
    """Labels on the original grid, whether they were decided there or not, postprocessed."""
    from medicalseg.postprocessing import postprocess

    if result.restored is not None:
        volume = Volume(result.restored, np.array(record.affine), meta={"labels": True})
    elif result.labels is not None:
        volume = task.restore(result.labels, record)
    else:
        raise ValueError("there are no labels to restore")
    return postprocess(volume, task)
