"""nnU-Net's first U-Net, built from a plan file as PaddleSeg3D builds it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import paddle
from paddle.nn import functional as F

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.base import SegmentationModel
from medicalseg.models.layers.arguments import flag, is_count, positive
from medicalseg.models.layers.nnunet_blocks import NNUNetTrunk, Sampling
from medicalseg.models.layers.unet_stages import Stages
from medicalseg.ops import functional as fast
from medicalseg.utils.logger import logger
from medicalseg.utils.nnunet_plan import NNUNetPlan, read_plan

INTERPOLATION = {2: "bilinear", 3: "trilinear"}
MOST_FEATURES = {2: 480, 3: 320}


@manager.MODELS.add_component
class NNUNet(SegmentationModel):
    """nnU-Net's U-Net (Isensee et al. 2021, "nnU-Net: a self-configuring method ...") with the layer names, shapes and
    numbers of PaddleSeg3D's checkpoints. What plans decide today is `PlainConvUNet`.

    The axes of the input are the plan's: (z, y, x) of a volume, or (y, x) of its slices, unless the plan transposed
    them. `MSDDataset` gives them so. A plan of two axes makes a network for images (N, C, H, W) of any size.

    In training `forward` returns a head per pooling, the finest first, each of its own resolution (`MultipleLoss`
    weighs them); in evaluation the finest alone.

    Args:
        plan_path: PaddleSeg3D's plan (.pkl), or JSON with its keys; see `medicalseg.utils.nnunet_plan.read_plan`.
        num_classes: classes, background included; the plan tells it, so any other number is refused. 0: not given.
        pretrained: file or address of weights to start from.
        stage: which of the plan's networks; may be left out if it has one.
        cascade: stage 1 gets the labels of stage 0 as further channels, one per foreground class.
        deep_supervision: false leaves out the coarser heads in training.
        feat_map_mul_on_downscale: channels grow by this from resolution to resolution, up to 320 (3D) or 480 (2D).
        use_dropout: kept for PaddleSeg3D's configurations; its probability is 0 there.
        upscale_logits: coarser heads are interpolated to the size of the input.
        convolutional_pooling: strided convolutions; false: maximum pooling.
        convolutional_upsampling: transposed convolutions; false: linear interpolation, with fewer channels.

    Attributes:
        patch_size: of the plan, what the network is to be trained on.

    Raises:
        ConfigError: an argument or the plan is wrong; the message names it.
        CheckpointError: the plan's pickle holds something else than data.

    Example:
        >>> net = NNUNet("configs/nnunet/msd_lung/plans_3D.json", stage=1)
        >>> net.next_input_shape((80, 190, 160))
        (80, 192, 160)
    """

    channels_last = True

    def __init__(
        self,
        plan_path: str | os.PathLike[str],
        num_classes: int | None = 0,
        pretrained: str | None = None,
        stage: int | None = None,
        cascade: bool = False,
        deep_supervision: bool = True,
        feat_map_mul_on_downscale: float = 2,
        use_dropout: bool = False,
        upscale_logits: bool = False,
        convolutional_pooling: bool = True,
        convolutional_upsampling: bool = True,
    ) -> None:
        flags = {"cascade": cascade, "deep_supervision": deep_supervision, "use_dropout": use_dropout}
        ways = {"convolutional_pooling": convolutional_pooling, "convolutional_upsampling": convolutional_upsampling}
        for name, value in {**flags, "upscale_logits": upscale_logits, **ways}.items():
            flag(f"NNUNet.{name}", value)
        plan = read_plan(plan_path)
        number = plan.stage_number(stage)
        stages = _stages(plan, number, feat_map_mul_on_downscale)
        axes = len(stages.strides[0])
        extra = plan.num_classes if cascade and number == 1 else 0
        rule = stages.size_rule if axes == 3 else None
        super().__init__(plan.num_modalities + extra, _classes(plan, num_classes), rule)
        if use_dropout:
            logger.warning("NNUNet.use_dropout: True changes nothing; the probability is 0, as in PaddleSeg3D")
        self.spatial_axes = axes
        self.data_format = {2: "NCHW", 3: "NCDHW"}[axes]
        self.patch_size = plan.stages[number].patch_size
        self.deep_supervision, self.upscale_logits = deep_supervision, upscale_logits
        count = len(stages.features) - 1
        self.heads = tuple(f"network.seg_heads.{count - 1 - k}" for k in range(count if deep_supervision else 1))
        sampling = Sampling(convolutional_pooling, convolutional_upsampling)
        self.network = NNUNetTrunk(self.in_channels, self.num_classes, stages, plan.conv_per_stage, sampling)
        self._load_pretrained(pretrained)

    @property
    def smallest_input(self) -> tuple[int, ...] | None:
        """See `SegmentationModel`; images may have any size."""
        return super().smallest_input if self.spatial_axes == 3 else (1, 1)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, ...) of the finest head, in the size of `x`."""
        return self.network.decode(self.network.encode(x), False)[0]

    def all_logits(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """In training the logits of every head, the finest first; else of that alone."""
        logits = self.network.decode(self.network.encode(x), self.deep_supervision and self.training)
        if not self.upscale_logits or len(logits) == 1:
            return logits
        size = x.shape[2:] if paddle.in_dynamic_mode() else paddle.shape(x)[2:]
        return [logits[0], *(self._upscaled(head, size) for head in logits[1:])]

    def _upscaled(self, logits: paddle.Tensor, size: Sequence[int] | paddle.Tensor) -> paddle.Tensor:
        mode = INTERPOLATION[self.spatial_axes]
        return F.interpolate(fast.plain(logits), size=size, mode=mode, data_format=self.data_format)


def _stages(plan: NNUNetPlan, number: int, factor: float) -> Stages:
    """Features, kernels and strides of each resolution."""
    positive("NNUNet.feat_map_mul_on_downscale", factor)
    stage = plan.stages[number]
    axes = len(stage.patch_size)
    features = [plan.base_num_features]
    for _ in stage.pools:
        features.append(max(1, round(min(features[-1] * factor, MOST_FEATURES[axes]))))
    return Stages(tuple(features), stage.kernels, ((1,) * axes, *stage.pools))


def _classes(plan: NNUNetPlan, given: int | None) -> int:
    """The plan's classes with the background; `given`, where it says something, has to be that."""
    count = plan.num_classes + 1
    if given in (None, 0) and not isinstance(given, bool):
        return count
    if not is_count(given):
        raise ConfigError(f"NNUNet.num_classes: needs a positive integer, or 0 for the plan's number, got {given!r}")
    if given != count:
        raise ConfigError(
            f"NNUNet.num_classes: {given} differs from the plan's {count} (background included, {plan.source}); "
            "leave it out, or take the plan of this dataset"
        )
    return count
