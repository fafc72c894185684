"""How much memory and time a training step takes: an estimate for the CPU, from measured constants.

Measured with paddlepaddle 3.3.1 and the accelerated layers of `medicalseg.ops` on a core with AVX512-BF16, AdamW and a
moving average of the weights; `dry_run` checks it on the machine that plans. See docs/explanation/planning-rules.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from medicalseg.planning.patch import LEAST_BATCH
from medicalseg.planning.topology import Topology
from medicalseg.planning.unet_cost import RESIDUAL, UNet, convolutions, macs, parameters, unet

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30
BASELINE = 400 * MEGABYTE
STATE_BYTES = 20
HEAD_BYTES = 12.0
FEATURE_BYTES = {"bf16": 6.5, "fp32": 9.0}
RESIDUAL_FEATURE_BYTES = {"bf16": 7.5, "fp32": 11.0}
MACS_PER_SECOND = {"bf16": 60e9, "fp32": 35e9}
PASSES = 3
USABLE = 0.8
SMALLEST = {2: 128**2, 3: 32**3}


def training_bytes(network: UNet, batch: int, precision: str = "fp32") -> int:
    """Resident memory of a process that trains on the CPU, in bytes; its data workers not counted.

    Paddle and the libraries, 20 bytes per parameter (weight, gradient, AdamW's two moments, the moving average), and so
    many bytes per number in the feature maps and in the logits of all heads.
    """
    found = list(convolutions(network))
    each = (RESIDUAL_FEATURE_BYTES if network.type == RESIDUAL else FEATURE_BYTES)[_known(precision)]
    inner = sum(item.elements for item in found if not item.head)
    heads = sum(item.elements for item in found if item.head)
    return round(BASELINE + STATE_BYTES * parameters(network) + batch * (each * inner + HEAD_BYTES * heads))


def step_seconds(network: UNet, batch: int, cores: int, precision: str = "fp32", speed: float = 1.0) -> float:
    """Seconds of a training step on the CPU, data loading not counted.

    Args:
        network: what is trained.
        batch: patches per step.
        cores: cores that compute.
        precision: fp32 or bf16.
        speed: of a core, as a multiple of the one that was measured.
    """
    return PASSES * batch * macs(network) / (MACS_PER_SECOND[_known(precision)] * cores * speed)


def _known(precision: str) -> str:
    return precision if precision in FEATURE_BYTES else "fp32"


@dataclass(frozen=True)
class CpuBudget:
    """What a patch and a batch may cost on a CPU: memory and time, whichever is scarcer.

    Attributes:
        kind: "PlainConvUNet" or "ResidualEncoderUNet".
        base: channels of the first stage.
        most: most channels of a stage.
        gigabytes: memory that may be used.
        seconds: time that a step may take.
        cores: cores that compute.
        precision: fp32 or bf16.
        in_channels: channels of the input.
        num_classes: channels of the output.
        speed: of a core, as a multiple of the measured one; the dry run finds it.
    """

    kind: str
    base: int
    most: int
    gigabytes: float
    seconds: float
    cores: int
    precision: str
    in_channels: int
    num_classes: int
    speed: float = 1.0

    def network(self, shape: Topology) -> UNet:
        """The network for a topology."""
        return unet(self.kind, shape, self.base, self.most, self.in_channels, self.num_classes)

    def shares(self, shape: Topology, batch: int) -> tuple[float, float]:
        """Shares of the memory and of the time that a step takes; above 1 it does not fit."""
        network = self.network(shape)
        used = training_bytes(network, batch, self.precision) / (USABLE * self.gigabytes * GIGABYTE)
        return used, step_seconds(network, batch, self.cores, self.precision, self.speed) / self.seconds

    def cost(self, shape: Topology, batch: int) -> float:
        """The larger share; patches are not made smaller than 32^3 (2D: 128^2) for the sake of time."""
        used, time = self.shares(shape, batch)
        spared = batch <= LEAST_BATCH and math.prod(shape.patch) <= SMALLEST[len(shape.patch)]
        return used if spared else max(used, time)

    def limit(self, dimensions: int) -> float:
        """What `cost` may be."""
        return 1.0
