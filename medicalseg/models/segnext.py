"""SegNeXt in its official design."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.backbones import mscan
from medicalseg.models.base_2d import SegmentationModel2D
from medicalseg.models.layers.arguments import count, flag, is_count, rate
from medicalseg.models.layers.matrix_decomposition import NMF2D
from medicalseg.models.layers.resize import image_size, resize

DECOMPOSITION = {
    "MD_R": "rank",
    "TRAIN_STEPS": "train_steps",
    "EVAL_STEPS": "eval_steps",
    "RAND_INIT": "random_bases",
}
ONLY = {"SPATIAL": True, "MD_S": 1}
WITHOUT_EFFECT = ("MD_D", "INV_T", "ETA")
WIDTHS = {"T": 256, "S": 256, "B": 512, "L": 1024}
RANK = 16
DECODER = ("channels", "ham_channels", "dropout_rate", "align_corners", "num_groups", "ham_kwargs")


class ConvGroupNorm(nn.Layer):
    """1x1 convolution without bias, group norm, ReLU if wanted."""

    def __init__(self, in_channels: int, out_channels: int, num_groups: int, relu: bool = True) -> None:
        super().__init__()
        self._conv = nn.Conv2D(in_channels, out_channels, 1, bias_attr=False)
        self._group_norm = nn.GroupNorm(num_groups, out_channels)
        self._act = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, H, W) to (N, out, H, W)."""
        return self._act(self._group_norm(self._conv(x)))


class Hamburger(nn.Layer):
    """Matrix decomposition between two 1x1 convolutions, with a shortcut."""

    def __init__(self, channels: int, num_groups: int, decomposition: Mapping[str, Any]) -> None:
        super().__init__()
        self.ham_in = nn.Conv2D(channels, channels, 1)
        self.ham = NMF2D(channels, **decomposition)
        self.ham_out = ConvGroupNorm(channels, channels, num_groups, relu=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) to the same shape."""
        return F.relu(x + self.ham_out(self.ham(F.relu(self.ham_in(x)))))


class LightHamHead(nn.Layer):
    """Joins the stages at the size of the finest one, hamburger, dropout, 1x1 convolution to the classes."""

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        channels: int = 256,
        dropout_rate: float = 0.1,
        align_corners: bool = False,
        ham_channels: int = 512,
        num_groups: int = 32,
        ham_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        decomposition = _decomposition(ham_kwargs or {})
        self.align_corners = align_corners
        self.squeeze = ConvGroupNorm(sum(in_channels), ham_channels, num_groups)
        self.hamburger = Hamburger(ham_channels, num_groups, decomposition)
        self.align = ConvGroupNorm(ham_channels, channels, num_groups)
        self.dropout = nn.Dropout2D(dropout_rate)
        self.conv_seg = nn.Conv2D(channels, num_classes, 1)

    def forward(self, features: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """Outputs (N, C_i, H_i, W_i) of the stages to logits (N, num_classes, H_0, W_0)."""
        size = image_size(features[0])
        joined = paddle.concat([resize(feature, size, self.align_corners) for feature in features], axis=1)
        return self.conv_seg(self.dropout(self.align(self.hamburger(self.squeeze(joined)))))


@manager.MODELS.add_component
class SegNeXt(SegmentationModel2D):
    """SegNeXt (Guo et al. 2022, "SegNeXt: Rethinking Convolutional Attention Design for Semantic Segmentation").

    MSCAN encoder; the decoder joins its last three stages at 1/8 of the image's size and sees the whole image through
    a matrix decomposition ("hamburger"). Names, order and shapes of the state dict are those of PaddleSeg's SegNeXt,
    and so are the numbers of a forward pass but for one thing: PaddleSeg draws the first bases of the decomposition at
    random in evaluation too, so the same image gives other logits each time; here they are fixed, see `NMF2D`.

    An image of any size is taken without padding: the sizes of the stages are rounded up, and the logits are resized
    to the image's size.

    Args:
        backbone: an `MSCAN`.
        decoder_cfg: `channels` (256) and `ham_channels` (512), the widths after and in the hamburger; `dropout_rate`
            (0.1), `align_corners` (false) of the resizing, `num_groups` (32) of the group norms; and `ham_kwargs`, the
            decomposition: `MD_R` (rank, 64), `TRAIN_STEPS` (6), `EVAL_STEPS` (7), `RAND_INIT` (true; false: the fixed
            bases of evaluation in training too). `SPATIAL` may be true and `MD_S` 1; `MD_D`, `INV_T` and `ETA` have
            no effect on it, in PaddleSeg neither.
        num_classes: channels of the output.
        backbone_indices: stages that the decoder takes, finest first.
        pretrained: file or address of weights to start from.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    heads = ("decode_head.conv_seg",)

    def __init__(
        self,
        backbone: nn.Layer,
        decoder_cfg: Mapping[str, Any],
        num_classes: int,
        backbone_indices: Sequence[int] = (1, 2, 3),
        pretrained: str | None = None,
    ) -> None:
        if not hasattr(backbone, "feat_channels") or not hasattr(backbone, "in_channels"):
            raise ConfigError(f"SegNeXt.backbone: needs an encoder such as MSCAN_T, got {type(backbone).__name__}")
        super().__init__(backbone.in_channels, num_classes)
        available = backbone.feat_channels
        self.backbone_indices = _checked_indices(backbone_indices, len(available))
        self.backbone = backbone
        channels = [available[index] for index in self.backbone_indices]
        self.decode_head = LightHamHead(channels, num_classes, **_checked_decoder(decoder_cfg))
        self._load_pretrained(pretrained)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, H, W)."""
        features = self.backbone(x)
        logits = self.decode_head([features[index] for index in self.backbone_indices])
        return resize(logits, image_size(x), self.decode_head.align_corners)


def _checked_indices(indices: Sequence[int], stages: int) -> list[int]:
    good = isinstance(indices, (list, tuple)) and indices and all(index in range(stages) for index in indices)
    if not good or list(indices) != sorted(indices):
        raise ConfigError(f"SegNeXt.backbone_indices: needs rising numbers from 0 to {stages - 1}, got {indices!r}")
    return list(indices)


def _checked_decoder(config: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        raise ConfigError(f"SegNeXt.decoder_cfg: needs a mapping such as {{channels: 256}}, got {config!r}")
    unknown = sorted(set(config) - set(DECODER))
    if unknown:
        raise ConfigError(f"SegNeXt.decoder_cfg: '{unknown[0]}' is not one of {', '.join(DECODER)}")
    groups = count("SegNeXt.decoder_cfg.num_groups", config.get("num_groups", 32))
    rate("SegNeXt.decoder_cfg.dropout_rate", config.get("dropout_rate", 0.0))
    flag("SegNeXt.decoder_cfg.align_corners", config.get("align_corners", False))
    for name in ("channels", "ham_channels"):
        width = config.get(name, groups)
        if not is_count(width) or width % groups:
            raise ConfigError(f"SegNeXt.decoder_cfg.{name}: needs a multiple of num_groups {groups}, got {width!r}")
    return dict(config)


def _decomposition(config: Mapping[str, Any]) -> dict[str, Any]:
    where = "SegNeXt.decoder_cfg.ham_kwargs"
    for key, value in config.items():
        if key not in (*DECOMPOSITION, *ONLY, *WITHOUT_EFFECT):
            raise ConfigError(f"{where}: '{key}' is not one of {', '.join(DECOMPOSITION)}")
        if value != ONLY.get(key, value):
            raise ConfigError(f"{where}.{key}: only {ONLY[key]} is offered, got {value!r}")
    return {DECOMPOSITION[key]: value for key, value in config.items() if key in DECOMPOSITION}


def _variant(size: str) -> Callable[..., SegNeXt]:
    make_backbone = getattr(mscan, f"MSCAN_{size}")
    width = WIDTHS[size]

    def build(
        in_channels: int = 3,
        num_classes: int = 2,
        pretrained: str | None = None,
        drop_path_rate: float | None = None,
        backbone_pretrained: str | None = None,
    ) -> SegNeXt:
        given = {} if drop_path_rate is None else {"drop_path_rate": drop_path_rate}
        backbone = make_backbone(in_channels, pretrained=backbone_pretrained, **given)
        decoder = {"channels": width, "ham_channels": width, "ham_kwargs": {"MD_R": RANK}}
        return SegNeXt(backbone, decoder, num_classes, pretrained=pretrained)

    doc = f"`SegNeXt` with `MSCAN_{size}` and the paper's decoder: {width} wide, rank {RANK}."
    return manager.MODELS.add_function(build, f"SegNeXt_{size}", doc)


SegNeXt_T = _variant("T")
SegNeXt_S = _variant("S")
SegNeXt_B = _variant("B")
SegNeXt_L = _variant("L")
