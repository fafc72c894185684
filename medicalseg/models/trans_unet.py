"""TransUNet: a ResNet, a vision transformer on its coarsest map, and a U-Net's decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.backbones.resnet import ResNet
from medicalseg.models.layers.trans_unet_decoder import Decoder
from medicalseg.models.layers.trans_unet_transformer import Embeddings, Encoder, Transformer
from medicalseg.models.slice_layout import SliceModel, as_image_size

REDUCTION = 16
SKIPS = 3


@manager.MODELS.add_component
class TransUNet(SliceModel):
    """TransUNet (Chen et al. 2021, "TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation") with
    its hybrid encoder R50 + ViT-B/16, and the layer names, shapes and numbers of PaddleSeg3D's checkpoints.

    It takes images of `img_size` pixels only; of one channel, which is repeated, or of as many as the backbone.

    Args:
        backbone: the ResNet; None = that of the paper, for three channels.
        classifier: taken for PaddleSeg3D's configs; "seg" is all there is.
        decoder_channels: channels of the decoder's four blocks, coarsest first.
        hidden_size: numbers of a token.
        n_skip: how many of the three finer maps are skips, coarsest first; 0 to 3.
        patches_grid: rows and columns of the tokens, `img_size` / 16.
        pretrained_path: weights to start from, as `pretrained`; PaddleSeg3D's name for it.
        skip_channels: channels of the maps at 1/8, 1/4 and 1/2, coarsest first; a fourth number is not looked at.
        attention_dropout_rate: dropout of the weights of attention and of its output.
        dropout_rate: dropout of the tokens and of the linear layers.
        mlp_dim: hidden numbers of the transformer's linear layers.
        num_heads: heads of attention.
        num_layers: blocks of the transformer.
        img_size: rows and columns of the image, one number or two; multiples of 16.
        num_classes: classes, background included.
        zero_head: start with a head whose weights are 0.
        vis: taken for PaddleSeg3D's configs; the weights of attention are not given.
        pretrained: weights to start from, see `medicalseg.utils.checkpoint.load_pretrained`.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    heads = ("segmentation_head.0",)

    def __init__(
        self,
        backbone: ResNet | None = None,
        classifier: str = "seg",
        decoder_channels: Sequence[int] = (256, 128, 64, 16),
        hidden_size: int = 768,
        n_skip: int = 3,
        patches_grid: Sequence[int] | int = (14, 14),
        pretrained_path: str | None = None,
        skip_channels: Sequence[int] = (512, 256, 64, 16),
        attention_dropout_rate: float = 0.0,
        dropout_rate: float = 0.1,
        mlp_dim: int = 3072,
        num_heads: int = 12,
        num_layers: int = 12,
        img_size: int | Sequence[int] = 224,
        num_classes: int = 9,
        zero_head: bool = False,
        vis: bool = False,
        pretrained: Any = None,
    ) -> None:
        backbone = ResNet([3, 4, 9], 1) if backbone is None else backbone
        super().__init__(_in_channels(backbone), num_classes, img_size)
        _check_counts(hidden_size=hidden_size, mlp_dim=mlp_dim, num_heads=num_heads, num_layers=num_layers)
        _check_rates(attention_dropout_rate=attention_dropout_rate, dropout_rate=dropout_rate)
        if hidden_size % num_heads:
            raise ConfigError(f"TransUNet.num_heads: {num_heads} does not divide hidden_size {hidden_size}")
        if classifier != "seg":
            raise ConfigError(f"TransUNet.classifier: only 'seg' exists, got {classifier!r}")
        grid = _checked_grid(patches_grid, self.only_size)
        skips = _checked_skips(n_skip, skip_channels, backbone)
        channels = _checked_decoder(decoder_channels)
        encoder = Encoder(num_layers, hidden_size, mlp_dim, num_heads, dropout_rate, attention_dropout_rate)
        self.transformer = Transformer(Embeddings(backbone, grid, hidden_size, dropout_rate), encoder)
        self.decoder = Decoder(hidden_size, grid, channels, skips)
        self.segmentation_head = nn.Sequential(nn.Conv2D(channels[-1], num_classes, 3, padding=1))
        if zero_head:
            nn.initializer.Constant(0.0)(self.segmentation_head[0].weight)
        if pretrained and pretrained_path:
            raise ConfigError("TransUNet.pretrained and pretrained_path are the same; give one of them")
        self._load_pretrained(pretrained or pretrained_path)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W)."""
        tokens, maps = self.transformer(x)
        return self.segmentation_head(self.decoder(tokens, maps))


def _in_channels(backbone: nn.Layer) -> int:
    for name in ("feat_channels", "in_channels"):
        if not hasattr(backbone, name):
            raise ConfigError(f"TransUNet.backbone: {type(backbone).__name__} has no {name}; use a ResNet")
    if len(backbone.feat_channels) != SKIPS + 1:
        raise ConfigError(f"TransUNet.backbone: {type(backbone).__name__} does not give maps at 1/2, 1/4, 1/8 and 1/16")
    return int(backbone.in_channels)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _check_counts(**values: Any) -> None:
    for name, value in values.items():
        if not _is_count(value):
            raise ConfigError(f"TransUNet.{name}: needs a positive integer, got {value!r}")


def _check_rates(**values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
            raise ConfigError(f"TransUNet.{name}: needs a number from 0 to below 1, got {value!r}")


def _checked_grid(patches_grid: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the tokens, which follow from the image's size."""
    given = as_image_size(patches_grid, "TransUNet.patches_grid")
    if any(side % REDUCTION for side in size):
        raise ConfigError(f"TransUNet.img_size: needs multiples of {REDUCTION}, got {list(size)}")
    grid = (size[0] // REDUCTION, size[1] // REDUCTION)
    if given != grid:
        raise ConfigError(
            f"TransUNet.patches_grid: {list(given)} does not fit img_size {list(size)}; it is a {REDUCTION}th of it, "
            f"{list(grid)}"
        )
    return grid


def _checked_skips(n_skip: Any, skip_channels: Any, backbone: nn.Layer) -> list[int]:
    """Channels of the three skips, coarsest first; 0 where there is none."""
    if isinstance(n_skip, bool) or n_skip not in range(SKIPS + 1):
        raise ConfigError(f"TransUNet.n_skip: needs a number from 0 to {SKIPS}, got {n_skip!r}")
    maps = list(reversed(backbone.feat_channels[:-1]))
    given = list(skip_channels) if isinstance(skip_channels, (list, tuple)) else None
    if given is None or given[:n_skip] != maps[:n_skip]:
        raise ConfigError(f"TransUNet.skip_channels: the backbone's maps have {maps} channels, got {skip_channels!r}")
    return [count if number < n_skip else 0 for number, count in enumerate(maps)]


def _checked_decoder(channels: Any) -> list[int]:
    if not isinstance(channels, (list, tuple)) or len(channels) != SKIPS + 1 or not all(map(_is_count, channels)):
        raise ConfigError(f"TransUNet.decoder_channels: needs four positive integers, got {channels!r}")
    return list(channels)
