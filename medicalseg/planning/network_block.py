"""The model block of a configuration, for our U-Nets, UNet3D and any other registered network for volumes."""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.components import accepts
from medicalseg.errors import UserError
from medicalseg.models.presets import BASE_FEATURES, MOST_FEATURES, stage_features
from medicalseg.planning.patch import Shape
from medicalseg.planning.reasoned import Because
from medicalseg.planning.stages import Stage
from medicalseg.planning.topology import Topology, topology
from medicalseg.planning.training_rules import heads_of
from medicalseg.planning.unet_cost import PLAIN, RESIDUAL, blocks_of

if TYPE_CHECKING:
    from medicalseg.planning.compose import Subject

UNET3D = "UNet3D"
HALVINGS = 4
Tree = dict[str, Any]


def check_network(name: str, kinds: Sequence[str]) -> None:
    """Refuse a network that is not registered, or not for the kinds asked for.

    Raises:
        UserError: names what there is.
    """
    if name not in manager.MODELS:
        raise UserError(f"--network {name}: not registered; allowed: plain, resenc, unet3d, vnet, or a name in MODELS")
    if "2d" in kinds and name not in (PLAIN, RESIDUAL):
        raise UserError(f"--network {name}: --kind 2d plans plain and resenc only; write other networks' files by hand")
    if spatial_axes(name) != 3:
        raise UserError(f"--network {name}: is for images; give plain or resenc with --kind 2d")
    if not accepts(manager.MODELS[name], "in_channels"):
        raise UserError(f"--network {name}: has no argument in_channels; start from its configuration below configs/")


def spatial_axes(name: str) -> int:
    """3 of a network for volumes, 2 for images; functions that make networks say it by what they return."""
    made = manager.MODELS[name]
    if not isinstance(made, type):
        made = typing.get_type_hints(made).get("return", made)
    return int(getattr(made, "spatial_axes", 3))


def shape_rule(name: str) -> Shape:
    """How a patch and its strides are found for a network."""
    return topology if name in (PLAIN, RESIDUAL, UNET3D) else halved_four_times


def halved_four_times(patch: Sequence[int], spacing: Sequence[float]) -> Topology:
    """Each axis rounded up to a multiple of 16, as networks with four halvings of all axes need it."""
    step = 2**HALVINGS
    padded = tuple(math.ceil(size / step) * step for size in patch)
    ones, twos, threes = (1,) * len(padded), (2,) * len(padded), (3,) * len(padded)
    return Topology(padded, (ones, *(twos,) * HALVINGS), (threes,) * (HALVINGS + 1))


def features_of(stage: Stage) -> tuple[int, ...]:
    """Channels per stage; the largest width is scaled with the first."""
    return stage_features(stage.fit.topology.stages, base=stage.base, most=widest(stage))


def widest(stage: Stage) -> int:
    """Most channels of a stage: nnU-Net's 320 (3D) or 512 (2D) at its width of 32."""
    return MOST_FEATURES[len(stage.fit.topology.patch)] * stage.base // BASE_FEATURES


def network_block(subject: Subject, stage: Stage, cascade: bool) -> tuple[Tree, int]:
    """The block, and the number of heads that the loss weighs."""
    name = subject.settings.network_type
    channels = subject.fingerprint.channels + (subject.previous_classes if cascade else 0)
    why = f"{subject.fingerprint.channels} of the image" + (
        f", {channels - subject.fingerprint.channels} of the first stage" if cascade else ""
    )
    ends: Tree = {
        "in_channels": Because(channels, why),
        "num_classes": Because(
            subject.source.num_classes, "the regions" if subject.source.regions else "with the background"
        ),
    }
    if name in (PLAIN, RESIDUAL):
        return _staged(name, stage, ends)
    if name == UNET3D:
        return _unet3d(stage, ends), 1
    heads = getattr(manager.MODELS[name], "heads", ())
    return {"type": name, **ends}, max(1, len(heads)) if isinstance(heads, tuple) else 1


def _staged(name: str, stage: Stage, ends: Tree) -> tuple[Tree, int]:
    shape = stage.fit.topology
    heads = heads_of(shape.stages)
    kind = "nnU-Net's residual encoder" if name == RESIDUAL else "nnU-Net's plain U-Net"
    features, cap = list(features_of(stage)), widest(stage)
    block: Tree = {
        "type": Because(name + ("2D" if stage.kind == "2d" else ""), kind),
        **ends,
        "features": Because(features, f"doubled per stage up to {cap}; {stage.base_reason}"),
        "kernel_size": Because([list(row) for row in shape.kernels], _kernel_reason(shape)),
        "strides": Because([list(row) for row in shape.strides], _stride_reason(shape)),
    }
    if name == RESIDUAL:
        block["blocks"] = Because(list(blocks_of(RESIDUAL, shape.stages)[0]), "nnU-Net's residual blocks per stage")
    block["deep_supervision"] = Because(
        heads, "heads at all resolutions but the two coarsest" if heads > 1 else "one head"
    )
    return block, heads


def _unet3d(stage: Stage, ends: Tree) -> Tree:
    shape = stage.fit.topology
    return {
        "type": Because(UNET3D, "asked for with --network"),
        **ends,
        "base_channels": Because(max(1, stage.base // 2), f"the second convolution doubles it: {stage.base_reason}"),
        "depth": Because(shape.stages, "as often as the patch can be halved"),
        "norm": Because("instance", "batches are small"),
        "kernel_size": Because([list(row) for row in shape.kernels], _kernel_reason(shape)),
        "pool_size": Because([list(row) for row in shape.strides[1:]], _stride_reason(shape)),
    }


def _kernel_reason(shape: Topology) -> str:
    if all(size == 3 for row in shape.kernels for size in row):
        return "no axis is more than twice as coarse as another"
    return "1 along an axis until its spacing is within a factor of 2 of the finest"


def _stride_reason(shape: Topology) -> str:
    pools = " x ".join(str(count) for count in shape.pools)
    return f"halved {pools} times: down to at least 4 voxels, fine axes first"
