"""The exported model against the network it came from, in every backend and precision that this machine can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from medicalseg.errors import MedicalSegError, RunError
from medicalseg.inference.backends.choice import FASTEST_FIRST, KINDS, has_bf16, reason_against
from medicalseg.inference.backends.files import ModelFiles
from medicalseg.inference.backends.options import RuntimeOptions
from medicalseg.inference.static_network import StaticNetwork
from medicalseg.utils.logger import logger

LOGIT_TOLERANCE = 1e-3
AGREEMENT = 0.995
SCALES = (8.0, 3.0, 1.0)


@dataclass(frozen=True)
class Check:
    """How a backend's output differs from the network's.

    Attributes:
        backend: its name.
        precision: "fp32" or "bf16".
        agreement: share of voxels with the network's label.
        difference: largest difference of a logit (of a probability, if exported with softmax or sigmoid); with argmax,
            how far the chosen class' logit is below the largest one; with threshold, how far a logit is from the
            smallest one that counts where the exported model decided otherwise.
        bound: the smallest agreement that is accepted.
        accepted: whether agreement and, in fp32, difference are within their bounds.
    """

    backend: str
    precision: str
    agreement: float
    difference: float
    bound: float
    accepted: bool

    def as_dict(self) -> dict[str, Any]:
        """For deploy.yaml."""
        rounded = replace(self, agreement=round(self.agreement, 6), difference=float(f"{self.difference:.3g}"))
        return asdict(rounded)


def image_like(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Noise with structure at several scales, as images have it, from 0 to 1.

    Args:
        shape: (N, C, X, Y, Z) or (N, C, H, W).
        seed: of the noise.
    """
    generator = np.random.default_rng(seed)
    image = np.empty(tuple(shape), np.float32)
    for volume in image.reshape(-1, *shape[2:]):
        total = np.zeros(shape[2:], np.float32)
        for scale in SCALES:
            smooth = gaussian_filter(generator.standard_normal(shape[2:], dtype=np.float32), scale, mode="wrap")
            total += smooth / max(float(smooth.std()), 1e-6)
        low, high = float(total.min()), float(total.max())
        volume[...] = (total - low) / max(high - low, 1e-6)
    return image


def check_backends(
    logits: np.ndarray, x: np.ndarray, deploy_yaml: Path, required: Sequence[str] = ("fp32",)
) -> list[Check]:
    """Run the exported model wherever it can run here and compare.

    Args:
        logits: the network's, (N, K, ...).
        x: their input.
        deploy_yaml: of the exported model.
        required: precisions whose failure is an error; another's is a warning, and the result says so.

    Raises:
        RunError: naming the backend, if one cannot run the model or differs too much in a required precision.
    """
    files = ModelFiles.read(deploy_yaml)
    checks = []
    for name in FASTEST_FIRST:
        if not files.has(*KINDS[name].files):
            continue
        for precision in KINDS[name].precisions:
            reason = reason_against(name, files, precision)
            if reason is None and (precision != "bf16" or has_bf16()):
                checks.append(_check(name, precision, logits, x, deploy_yaml, precision in required))
            elif precision == "fp32":
                logger.info("Export check: %s not checked, it is not installed.", name)
    missing = [name for name in required if name not in [item.precision for item in checks]]
    if missing:
        raise RunError(f"the exported model could not be checked in {missing[0]}: no backend here computes in it")
    return checks


def _check(name: str, precision: str, logits: np.ndarray, x: np.ndarray, deploy_yaml: Path, required: bool) -> Check:
    try:
        network = StaticNetwork(deploy_yaml, RuntimeOptions(backend=name, precision=precision))
        result = compare(network, logits, x)
    except MedicalSegError as error:
        raise RunError(f"backend {name}, {precision}: {error}") from error
    logger.info(
        "Export check on %s: %s, %s: %.4f %% of the labels agree, largest difference %.2e.",
        "x".join(map(str, x.shape)), name, precision, 100 * result.agreement, result.difference,
    )  # fmt: skip
    if result.accepted:
        return result
    allowed = f"{_allowed(network.output_op, logits):.3g}" if precision == "fp32" else "any"
    said = (
        f"backend {name}, {precision}: the exported model differs from the network by {result.difference:.3g} in its "
        f"logits (allowed {allowed}) and {100 * result.agreement:.2f} % of the labels agree "
        f"(needed {100 * AGREEMENT:.1f} %)"
    )
    if required:
        raise RunError(f"{said}; do not deploy it")
    logger.warning("%s; deploy.yaml says so and it will be refused.", said)
    return result


def compare(network: StaticNetwork, logits: np.ndarray, x: np.ndarray) -> Check:
    """Agreement and difference of an exported model's output on `x` with the network's logits.

    It is the model's second run, after one on another image: backends keep what they can.
    """
    run = network.labels if network.gives_labels else network.logits
    run(x[..., ::-1])
    output = run(x)
    labels = output if network.gives_labels else network.decide(np.moveaxis(output, 1, 0))
    decision = network.task.decision
    expected = decision.labels(logits, axis=1)
    if network.output_op == "argmax":
        chosen = np.take_along_axis(logits, labels[:, None].astype(np.int64), axis=1)[:, 0]
        difference = float((logits.max(axis=1) - chosen).max())
    elif network.output_op == "threshold":
        difference = _beyond(logits, labels ^ expected, decision.smallest_logit)
    else:
        difference = float(np.abs(output - _probabilities(logits, network.output_op)).max())
    agreement = float((labels == expected).mean())
    precision = network.options.precision
    near = precision != "fp32" or difference <= _allowed(network.output_op, logits)
    accepted = bool(np.isfinite(difference) and near and agreement >= AGREEMENT)
    return Check(network.backend, precision, agreement, difference, AGREEMENT, accepted)


def _allowed(output_op: str, logits: np.ndarray) -> float:
    """Largest difference in fp32: relative to the logits, and absolute for probabilities."""
    probabilities = output_op in ("softmax", "sigmoid")
    return LOGIT_TOLERANCE * (1.0 if probabilities else max(1.0, float(np.abs(logits).max())))


def _beyond(logits: np.ndarray, wrong: np.ndarray, least: float) -> float:
    """Largest distance from the threshold among the logits (N, K, ...) whose bit is set in the codes `wrong`."""
    distances = [
        np.where(wrong >> channel & 1, np.abs(logits[:, channel] - least), 0).max()
        for channel in range(logits.shape[1])
    ]
    return float(max(distances))


def _probabilities(logits: np.ndarray, output_op: str) -> np.ndarray:
    if output_op == "sigmoid":
        return 0.5 * (np.tanh(0.5 * logits) + 1)
    return _softmax(logits) if output_op == "softmax" else logits


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
