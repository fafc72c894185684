"""An exported model as inference sees it, whatever backend executes it: no network code, no training code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from medicalseg.errors import UserError
from medicalseg.inference.alike import same_road
from medicalseg.inference.backends import PRECISIONS, ModelFiles, RuntimeOptions, start
from medicalseg.inference.backends.runtime import Runtime
from medicalseg.inference.ensemble import Ensemble
from medicalseg.inference.network import WithDecision
from medicalseg.inference.task import TaskSpec

__all__ = ["PRECISIONS", "RuntimeOptions", "StaticNetwork"]


class StaticNetwork(WithDecision):
    """Calls an exported model, or the mean of the probabilities of several, on arrays.

    Args:
        deploy: a deploy.yaml, or the folder that holds it.
        options: how to run it.

    Attributes:
        task: classes and preprocessing of the model.
        output_op: "argmax" or "threshold" (labels), "softmax" or "sigmoid" (probabilities), or "none" (logits).
        backend: name of what executes it.
        previous: of the second network of a cascade the first, whose labels it is given; None of others.
        members: of an ensemble its networks; none of others.
        apart: whether these see images differently, so that they are averaged on the image's grid alone (`parts`).

    Raises:
        CheckpointError: if deploy.yaml or a file it names is missing, incomplete or altered.
        MissingDependencyError: if the backend is not installed.
        UserError: if the backend or the precision cannot be used here.
    """

    def __init__(self, deploy: str | Path, options: RuntimeOptions | None = None) -> None:
        self.options = options or RuntimeOptions()
        files = ModelFiles.read(deploy)
        self.path, self.description = files.path, files.description
        self.task = TaskSpec.from_dict(self.description["task"])
        self.output_op: str = self.description.get("output_op", "argmax")
        self.input_shape: list[int] = self.description.get("input_shape") or default_input_shape(self.task)
        self.decision = self.task.decision
        self.gives_probabilities = self.output_op in ("softmax", "sigmoid")
        self.previous = None if files.previous is None else StaticNetwork(files.previous, self.options)
        self.members = [StaticNetwork(member, self.options) for member in files.members]
        self.apart = bool(self.members) and not same_road([member.task for member in self.members])
        self._runtime: Runtime = _Together(self.members) if self.members else start(files, self.options)

    def parts(self) -> list[tuple[TaskSpec, StaticNetwork]]:
        """What one array can go through, each with its task: the networks that are `apart`, else this one alone."""
        if not self.apart:
            return [(self.task, self)]
        first, *others = self.members
        task = replace(first.task, postprocessing=self.task.postprocessing)
        return [(task, first), *((each.task, each) for each in others)]

    @property
    def backend(self) -> str:
        """Name of what executes the model."""
        return self._runtime.name

    def labels(self, x: np.ndarray) -> np.ndarray:
        """Labels (N, X, Y, Z), int32, of an input (N, C, X, Y, Z); (H, W) in place of (X, Y, Z) for images."""
        output = self._run(x)
        return output.astype(np.int32, copy=False) if self.gives_labels else self._decide(output, axis=1)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Logits, or probabilities of a model exported with them, (N, K, X, Y, Z), float32.

        Raises:
            UserError: if the model was exported with argmax or threshold and has none.
        """
        if self.gives_labels:
            raise UserError(
                f"{self.path}: exported with {self.output_op}, so it gives labels only; export with --output_op none"
            )
        return self._run(x)

    def decide(self, logits: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Labels of what `logits` gives (K, ...), or of sums of it with the weights (...)."""
        return self._decide(logits, weights=weights)

    @property
    def gives_labels(self) -> bool:
        """Whether the model itself decides."""
        return self.output_op in ("argmax", "threshold")

    def _decide(self, output: np.ndarray, axis: int = 0, weights: np.ndarray | None = None) -> np.ndarray:
        return self.decision.labels(output, axis, weights=weights, probabilities=self.gives_probabilities)

    def _run(self, x: np.ndarray) -> np.ndarray:
        if self.apart:
            raise UserError(
                f"{self.path}: its networks see images differently, so no array goes through all of them; average them "
                "with `medicalseg infer`, or `parts` and medicalseg.inference.mixture.mix"
            )
        x = np.ascontiguousarray(x, dtype=np.float32)
        self._check_input(x)
        return self._runtime.run(x)

    def _check_input(self, x: np.ndarray) -> None:
        fits = x.ndim == len(self.input_shape) and all(
            wanted in (-1, None, size) for wanted, size in zip(self.input_shape, x.shape, strict=False)
        )
        if not fits:
            raise UserError(f"{self.path}: the model takes {self.input_shape} (-1 = any), got {list(x.shape)}")


class _Together:
    """Several exported models as the one runtime that gives the mean of their probabilities."""

    def __init__(self, members: Sequence[StaticNetwork]) -> None:
        self.name = ", ".join(dict.fromkeys(member.backend for member in members))
        self._ensemble = Ensemble(members)

    def run(self, x: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        return self._ensemble.logits(x)


def default_input_shape(task: TaskSpec) -> list[int]:
    """(N, C, X, Y, Z) or (N, C, H, W) with -1 for all but the channels."""
    return [-1, task.network_channels, *[-1] * task.spatial_axes]
