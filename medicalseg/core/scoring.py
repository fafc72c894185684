"""One case of an evaluation: predict it, bring it to the grid that is scored, count."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medicalseg.core.counting import count_voxels, voxel_volume
from medicalseg.errors import DataError, UserError
from medicalseg.inference import EagerNetwork, Inferer, WholeVolume, inferer_for
from medicalseg.inference.decision import unpack
from medicalseg.inference.grid import orientation_change
from medicalseg.io import Volume
from medicalseg.metrics import CaseResult, HistogramAuc, SoftDiceSums
from medicalseg.utils.logger import logger

if TYPE_CHECKING:
    import paddle

    from medicalseg.inference import TaskSpec

SPACES = ("original", "network")
LARGEST_LOGITS_FOR_LOSS = 2 << 30
Losses = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Prediction:
    """A case on the network's grid: labels (X, Y, Z), ids or codes; soft Dice (K,); loss."""

    labels: np.ndarray
    soft_dice: np.ndarray
    loss: float | None


class Scorer:
    """Predicts and scores the cases of a dataset.

    Args:
        model: the network.
        dataset: `medicalseg.datasets.CaseDataset`, or what behaves like it.
        losses: the config's losses; the first one is reported. None = no loss.
        inferer: how a volume goes through the network; None = as its task needs.
        space: "original" or "network": where labels are compared.
        auc: gets the logits and labels of every case.
    """

    def __init__(
        self,
        model: paddle.nn.Layer,
        dataset: Any,
        losses: Losses | None = None,
        inferer: Inferer | None = None,
        space: str = "original",
        auc: HistogramAuc | None = None,
    ) -> None:
        self.task: TaskSpec = dataset.task
        self.network = EagerNetwork(model, self.task.decision)
        self.dataset = dataset
        self.space = space
        self._inferer = inferer_for(self.task, inferer)
        self._losses = None if losses is None else {key: list(losses[key])[:1] for key in ("types", "coef")}
        self._codes = self.task.head == "sigmoid"
        self._sigmoid = self._codes or uses_sigmoid(losses)
        self._auc = auc

    def predict(self, image: np.ndarray, label: np.ndarray) -> Prediction:
        """Labels, soft Dice and loss of an image (C, X, Y, Z) with label (X, Y, Z)."""
        sums = SoftDiceSums(self.dataset.num_classes, self._sigmoid, self.dataset.ignore_index, self._codes)
        labels = np.empty(label.shape, np.int32)
        parts: Iterable[tuple[Any, np.ndarray]] = self._inferer.slabs(self.network, image)
        loss = None
        if self._losses is not None and self._fits(label):
            logits = self._inferer.logits(self.network, image)
            loss = self._loss(logits, label)
            parts = [(..., logits)]
        for region, logits in parts:
            self._check_classes(len(logits))
            labels[region] = self.network.decide(logits)
            sums.add(logits, label[region])
            if self._auc is not None:
                self._auc.add(logits, label[region])
        return Prediction(labels, sums.value(), loss)

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Labels (X, Y, Z) alone, for a picture."""
        return self._inferer.labels(self.network, image)

    def score(self, index: int, image: np.ndarray, label: np.ndarray, name: str) -> tuple[CaseResult, np.ndarray]:
        """Predict and score case `index`; also returns its labels on the network's grid.

        Raises:
            DataError: if its labels cannot be compared with the reference; names the case.
        """
        start = time.perf_counter()
        prediction = self.predict(image, label)
        labels, reference, volume = self._compared(index, prediction.labels, label, name)
        try:
            counts = count_voxels(labels, reference, self.task)
        except DataError as error:
            raise DataError(f"case {name}: on the {self.space} grid, {error}") from error
        seconds = time.perf_counter() - start
        slices = None if self.task.slices is None else int(label.shape[self.task.slices.axis])
        result = CaseResult(name, counts, volume, prediction.soft_dice, prediction.loss, seconds, slices)
        return result, prediction.labels

    def _compared(
        self, index: int, labels: np.ndarray, label: np.ndarray, name: str
    ) -> tuple[np.ndarray, np.ndarray, float]:
        if self.space == "network":
            return labels, label, self._voxel_volume(index, network_spacing(self.dataset, index, label.shape))
        reference, restored = self.dataset.reference(index), self.dataset.to_original(labels, index)
        if reference is None or restored is None:
            missing = "its original label" if reference is None else "how it was brought to the network's grid"
            raise DataError(f"case {name}: {missing} is not recorded; prepare it again, or use --eval_space network")
        return restored.array, reference.array, self._voxel_volume(index, reference.spacing)

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
