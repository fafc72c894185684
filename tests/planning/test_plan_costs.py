"""Counts of the U-Nets against the networks themselves; the estimate of memory against measurements."""

from __future__ import annotations

import math

import pytest

from medicalseg.models import PlainConvUNet, ResidualEncoderUNet
from medicalseg.planning.memory import BASELINE, CpuBudget, training_bytes
from medicalseg.planning.topology import topology
from medicalseg.planning.unet_cost import PLAIN, RESIDUAL, UNet, convolutions, feature_elements, macs, parameters, unet

MIB = 2**20


def network(kind: str, patch: tuple[int, ...], base: int = 16, classes: int = 3) -> UNet:
    return unet(kind, topology(patch, (1,) * len(patch)), base, 10 * base, 1, classes)


@pytest.mark.parametrize(
    ("kind", "patch", "spacing", "elements"),
    [
        (PLAIN, (80, 40, 24), (1, 1, 2), 20_352_000),
        (PLAIN, (48, 80, 96), (1, 1, 1), 79_557_120),
        (PLAIN, (64, 112), (1, 1), 2_200_576),
        (RESIDUAL, (48, 80, 96), (1, 1, 1), 98_254_080),
        (RESIDUAL, (80, 80, 40), (1, 1, 3), 94_216_000),
    ],
)
def test_feature_maps_are_counted_as_by_nnunet(
    kind: str, patch: tuple[int, ...], spacing: tuple[float, ...], elements: int
) -> None:
    """Numbers of dynamic_network_architectures' compute_conv_feature_map_size."""
    shape = topology(patch, spacing)
    assert feature_elements(unet(kind, shape, 32, 320 if len(patch) == 3 else 512, 2, 3)) == elements


@pytest.mark.parametrize("kind", [PLAIN, RESIDUAL])
def test_parameters_are_those_of_the_network(kind: str) -> None:
    counted = network(kind, (32, 32, 16))
    shape = counted.topology
    arguments = {
        "features": list(counted.features),
        "kernel_size": [list(row) for row in shape.kernels],
        "strides": [list(row) for row in shape.strides],
        "deep_supervision": True,
    }
    net = (PlainConvUNet if kind == PLAIN else ResidualEncoderUNet)(1, 3, **arguments)
    real = sum(p.size for p in net.parameters())
    assert parameters(counted) == pytest.approx(real, rel=0.01)


def test_macs_of_a_single_convolution_chain() -> None:
    counted = network(PLAIN, (8, 8, 8), base=4)
    first = next(iter(convolutions(counted)))
    assert first.macs == 1 * 4 * 27 * 8**3
    assert macs(counted) == sum(item.macs for item in convolutions(counted))


MEASURED = [
    (PLAIN, (40, 56, 40), 16, 2, "bf16", 3, 513),
    (PLAIN, (40, 56, 40), 32, 2, "bf16", 3, 728),
    (PLAIN, (40, 56, 40), 16, 4, "bf16", 3, 621),
    (PLAIN, (64, 64, 64), 16, 2, "bf16", 3, 843),
    (PLAIN, (64, 64, 64), 16, 2, "bf16", 20, 960),
    (RESIDUAL, (40, 56, 40), 16, 2, "bf16", 3, 671),
    (PLAIN, (24, 96, 96), 16, 2, "bf16", 3, 787),
    (PLAIN, (40, 56, 40), 16, 2, "fp32", 3, 571),
    (PLAIN, (40, 56, 40), 32, 2, "fp32", 3, 823),
    (PLAIN, (64, 64, 64), 16, 2, "fp32", 3, 980),
    (PLAIN, (64, 64, 64), 16, 2, "fp32", 20, 1066),
    (RESIDUAL, (40, 56, 40), 16, 2, "fp32", 3, 749),
]


@pytest.mark.parametrize(("kind", "patch", "base", "batch", "precision", "classes", "mib"), MEASURED)
def test_the_estimate_of_memory_is_that_of_dry_runs(
    kind: str, patch: tuple[int, ...], base: int, batch: int, precision: str, classes: int, mib: int
) -> None:
    """Measured resident memory at its peak, paddlepaddle 3.3.1, AdamW and EMA, one thread."""
    estimate = training_bytes(network(kind, patch, base, classes), batch, precision) / MIB
    assert 0.9 * mib < estimate < 1.2 * mib


def test_the_estimate_grows_with_everything() -> None:
    small = training_bytes(network(PLAIN, (32, 32, 32)), 2)
    assert small > BASELINE
    assert training_bytes(network(PLAIN, (32, 32, 32)), 3) > small
    assert training_bytes(network(PLAIN, (48, 32, 32)), 2) > small
    assert training_bytes(network(PLAIN, (32, 32, 32), base=32), 2) > small
    assert training_bytes(network(PLAIN, (32, 32, 32)), 2, "bf16") < small


def test_a_cpu_budget_spares_small_patches_for_time_but_not_for_memory() -> None:
    def budget(gigabytes: float, seconds: float) -> CpuBudget:
        return CpuBudget(PLAIN, 16, 160, gigabytes, seconds, 1, "fp32", 1, 3)

    small, large = topology((32, 32, 32), (1, 1, 1)), topology((64, 64, 64), (1, 1, 1))
    assert budget(8, 1e-6).cost(small, 2) < 1 < budget(8, 1e-6).cost(large, 2)
    assert budget(8, 1e-6).cost(small, 3) > 1
    assert budget(0.1, 100).cost(small, 2) > 1
    assert math.isclose(budget(8, 2).shares(large, 2)[1] * 2, budget(8, 1).shares(large, 2)[1])
