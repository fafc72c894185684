"""One case of an evaluation: predict it, bring it to the grid that is scored, count."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medicalseg.core.counting import count_voxels, voxel_volume
from medicalseg.core.extras import Extras
from medicalseg.errors import DataError, UserError
from medicalseg.inference import EagerNetwork, Ensemble, Inferer, WholeVolume, inferer_for
from medicalseg.inference.decision import unpack
from medicalseg.inference.grid import GridRecord, orientation_change
from medicalseg.inference.memory import MemoryPlan
from medicalseg.inference.mixture import Member
from medicalseg.inference.network import Network
from medicalseg.inference.pipeline import Collector, Result, to_original
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.inference.probabilities import to_logits
from medicalseg.inference.sliding_window import Part
from medicalseg.inference.smaller import in_smaller_pieces
from medicalseg.inference.windows import with_classes
from medicalseg.io import Volume
from medicalseg.metrics import Calibration, CaseResult, HistogramAuc, SoftDiceSums
from medicalseg.postprocessing import postprocess
from medicalseg.utils.logger import logger

if TYPE_CHECKING:
    import paddle

    from medicalseg.inference import TaskSpec

SPACES = ("original", "network")
LARGEST_LOGITS_FOR_LOSS = 2 << 30
Losses = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Prediction:
    """A case: its labels, ids or codes, on either grid; soft Dice (K,) and loss on the network's grid."""

    result: Result
    soft_dice: np.ndarray
    loss: float | None


class Scorer:
    """Predicts and scores the cases of a dataset.

    Args:
        model: the network, or several whose probabilities are averaged.
        dataset: `medicalseg.datasets.CaseDataset`, or what behaves like it.
        losses: the config's losses; the first one is reported. None = no loss.
        inferer: how a volume goes through the network; None = as its task needs.
        space: "original" or "network": where labels are compared.
        auc: gets the logits and labels of every case.
        extras: what is measured beside Dice; None = nothing.
    """

    def __init__(
        self,
        model: paddle.nn.Layer | Sequence[paddle.nn.Layer],
        dataset: Any,
        losses: Losses | None = None,
        inferer: Inferer | None = None,
        space: str = "original",
        auc: HistogramAuc | None = None,
        extras: Extras | None = None,
    ) -> None:
        self.task: TaskSpec = dataset.task
        models = list(model) if isinstance(model, (list, tuple)) else [model]
        members: list[Network] = [EagerNetwork(each, self.task.decision) for each in models]
        self.network: Network = members[0] if len(members) == 1 else Ensemble(members)
        self.dataset = dataset
        self.space = space
        self._inferer = inferer_for(self.task, inferer)
        self._losses = None if losses is None else {key: list(losses[key])[:1] for key in ("types", "coef")}
        self._memory = MemoryPlan(tell=False)
        self._codes = self.task.head == "sigmoid"
        self._sigmoid = self._codes or uses_sigmoid(losses)
        self._auc, self.extras = auc, extras or Extras()
        self.calibration: Calibration | None = None
        if self.extras.calibration:
            self.calibration = Calibration(dataset.num_classes, dataset.ignore_index, self._codes)

    def predict(
        self, image: np.ndarray, label: np.ndarray, record: GridRecord | None = None, name: str = "a case"
    ) -> Prediction:
        """Labels, soft Dice and loss of an image (C, X, Y, Z) with label (X, Y, Z), in pieces that fit the memory.

        With a record labels are decided where prediction decides them, else on the network's grid.
        """
        self._inferer = self._memory.fit(_as_stored(image, record, name), self._member(record))
        counters = [each for each in (self._auc, self.calibration) if each is not None]
        before = [np.array(each.state) for each in counters]

        def work(inferers: Sequence[Inferer]) -> Prediction:
            for each, state in zip(counters, before, strict=True):
                each.merge([state])
            self._inferer = inferers[0]
            return self._predicted(image, label, record)

        return in_smaller_pieces(work, [self._inferer], [label.shape], name)[0]

    def _member(self, record: GridRecord | None) -> Member:
        """For the estimate of memory; without a record the network's grid is the image's own."""
        task = (
            self.task if record is not None else replace(self.task, preprocessing=Preprocessing(), restoring="labels")
        )
        return Member(task, self.network, self._inferer)

    def _predicted(self, image: np.ndarray, label: np.ndarray, record: GridRecord | None) -> Prediction:
        sums = SoftDiceSums(self.dataset.num_classes, self._sigmoid, self.dataset.ignore_index, self._codes)
        collector = Collector(self.task, self.network, record, self._inferer.axes(label.shape), label.shape)
        whole: np.ndarray | None = None
        fits = self._losses is not None and self._fits(label)
        for part in self._inferer.parts(self.network, image):
            logits = self._logits(part)
            self._check_classes(len(logits))
            sums.add(logits, label[part.region])
            if self._auc is not None:
                self._auc.add(logits, label[part.region])
            if self.calibration is not None:
                self.calibration.add(logits, label[part.region])
            if fits:
                whole = np.empty((len(logits), *label.shape), np.float32) if whole is None else whole
                whole[with_classes(part.region)] = logits
            del logits
            collector.add(part)
        loss = None if whole is None else self._loss(whole, label)
        return Prediction(collector.result(), sums.value(), loss)

    def _logits(self, part: Part) -> np.ndarray:
        scores = part.scores if part.weights is None else part.scores / part.weights
        return to_logits(scores, self.task.head) if self.network.gives_probabilities else scores

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Labels (X, Y, Z) alone, for a picture."""

        def work(inferers: Sequence[Inferer]) -> np.ndarray:
            return inferers[0].labels(self.network, image)

        return in_smaller_pieces(work, [self._inferer], [image.shape[-3:]], "a picture")[0]

    def score(
        self, index: int, image: np.ndarray, label: np.ndarray, name: str
    ) -> tuple[CaseResult, np.ndarray | Volume]:
        """Predict and score case `index`; also returns its labels on the grid that is scored.

        Raises:
            DataError: if its labels cannot be compared with the reference; names the case.
        """
        start = time.perf_counter()
        record = self._record(index, label.shape, name)
        prediction = self.predict(image, label, record, name)
        labels, reference, volume = self._compared(index, prediction.result, label, name)
        found = labels.array if isinstance(labels, Volume) else labels
        try:
            counts = count_voxels(found, reference, self.task)
        except DataError as error:
            raise DataError(f"case {name}: on the {self.space} grid, {error}") from error
        seconds = time.perf_counter() - start
        slices = None if self.task.slices is None else int(label.shape[self.task.slices.axis])
        sides = labels.spacing if isinstance(labels, Volume) else network_spacing(self.dataset, index, label.shape)
        more = self.extras.of_case(found, reference, sides, self.task)
        result = CaseResult(name, counts, volume, prediction.soft_dice, prediction.loss, seconds, slices, **more)
        return result, labels

    def restored(self, index: int, result: Result) -> Volume | None:
        """Labels on the original grid, postprocessed as prediction does it; None if that grid is not known."""
        if result.restored is not None:
            record = self.dataset.record(index)
            return to_original(result, record, self.task)
        volume: Volume | None = self.dataset.to_original(result.labels, index)
        return None if volume is None else postprocess(volume, self.task)

    def _record(self, index: int, shape: Sequence[int], name: str) -> GridRecord | None:
        """The way back where scores are restored; None where labels are, or the network's grid is scored."""
        if self.space == "network" or self.task.restoring == "labels":
            return None
        record: GridRecord | None = self.dataset.record(index)
        if record is not None and record.network_shape != tuple(shape):
            raise DataError(
                f"case {name}: restoring: scores needs the grid of the preprocessing, {record.network_shape}, but "
                f"transforms made it {tuple(shape)}; leave transforms that change it out, or use restoring: labels"
            )
        return record

    def _compared(
        self, index: int, result: Result, label: np.ndarray, name: str
    ) -> tuple[np.ndarray | Volume, np.ndarray, float]:
        if self.space == "network" and result.labels is not None:
            volume = self._voxel_volume(index, network_spacing(self.dataset, index, label.shape))
            return result.labels, label, volume
        reference, restored = self.dataset.reference(index), self.restored(index, result)
        if reference is None or restored is None:
            missing = "its original label" if reference is None else "how it was brought to the network's grid"
            raise DataError(f"case {name}: {missing} is not recorded; prepare it again, or use --eval_space network")
        return restored, reference.array, self._voxel_volume(index, reference.spacing)

    def _voxel_volume(self, index: int, spacing: Sequence[float]) -> float:
        case = self.dataset.case(index) if hasattr(self.dataset, "case") else None
        return voxel_volume(spacing, case.images[0] if case is not None and case.images else None)

    def _fits(self, label: np.ndarray) -> bool:
        size = 4 * self.dataset.num_classes * label.size
        if size > LARGEST_LOGITS_FOR_LOSS and not isinstance(self._inferer, WholeVolume):
            logger.warning("The loss is not computed: the logits of a case would take %.1f GB.", size / 1e9)
            self._losses = None
        return self._losses is not None

    def _loss(self, logits: np.ndarray, label: np.ndarray) -> float:
        import paddle

        from medicalseg.losses import compute

        if self._codes:
            label = unpack(label, self.dataset.num_classes, self.dataset.ignore_index)
        with paddle.no_grad():
            target = paddle.to_tensor(label[None] if self._codes else label[None].astype(np.int64))
            parts = compute([paddle.to_tensor(logits[None])], target, self._losses or {})
            return float(sum(float(part) for part in parts))

    def _check_classes(self, count: int) -> None:
        if count != self.dataset.num_classes:
            raise UserError(
                f"the network has {count} classes, the dataset {self.dataset.num_classes}; "
                "use the config that the network was trained with"
            )


def _as_stored(image: np.ndarray, record: GridRecord | None, name: str) -> Volume:
    """A stand-in without memory for the image that a case was made of."""
    shape = image.shape[-3:] if record is None else record.shape
    affine = np.eye(4) if record is None else np.array(record.affine)
    return Volume(np.broadcast_to(np.float32(0), shape), affine, path=Path(name))


def uses_sigmoid(losses: Losses | None) -> bool:
    """Whether the first Dice loss of the config's first head takes sigmoids, as PaddleSeg's printed Dice then does."""
    queue = list(losses["types"])[:1] if losses else []
    while queue:
        loss = queue.pop(0)
        if hasattr(loss, "sigmoid_norm"):
            return bool(loss.sigmoid_norm)
        queue += list(getattr(loss, "losses", ()))
    return True


def network_spacing(dataset: Any, index: int, shape: Sequence[int]) -> tuple[float, float, float]:
    """Voxel size in mm on the network's grid; NaN where it is not known."""
    record = dataset.record(index) if hasattr(dataset, "record") else None
    if record is None or 0 in record.scale:
        return (float("nan"),) * 3
    affine = np.asarray(record.affine, dtype=np.float64)
    stored = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    axes = orientation_change(affine, record.orientation)[:, 0].astype(int)
    oriented = np.empty(3)
    oriented[axes] = stored
    scale = np.asarray(record.scale) * np.asarray(shape) / np.asarray(record.network_shape)
    x, y, z = oriented / scale
    return float(x), float(y), float(z)


def network_axcodes(dataset: Any, index: int) -> str:
    """Where the axes of the network's grid point to; RAS where it is not known."""
    record = dataset.record(index) if hasattr(dataset, "record") else None
    if record is None:
        return "RAS"
    if record.orientation:
        return str(record.orientation)
    return Volume(np.zeros((1, 1, 1), np.uint8), np.asarray(record.affine)).axcodes
