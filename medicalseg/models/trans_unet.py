"""TransUNet: a ResNet, a vision transformer on its coarsest map, and a U-Net's decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.backbones.resnet import ResNet
from medicalseg.models.layers.arguments import count, counts, flag, is_count, rate
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
        backbone = ResNet([3, 4, 9], 1) if backbone is None else _checked_backbone(backbone)
        super().__init__(backbone.in_channels, num_classes, img_size)
        _check_transformer(hidden_size, mlp_dim, num_heads, num_layers)
        rate("TransUNet.attention_dropout_rate", attention_dropout_rate)
        rate("TransUNet.dropout_rate", dropout_rate)
        flag("TransUNet.zero_head", zero_head)
        if classifier != "seg":
            raise ConfigError(f"TransUNet.classifier: only 'seg' exists, got {classifier!r}")
        grid = _checked_grid(patches_grid, self.only_size)
        skips = _checked_skips(n_skip, skip_channels, backbone)
        channels = counts("TransUNet.decoder_channels", decoder_channels, SKIPS + 1)
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


def _checked_backbone(backbone: Any) -> ResNet:
    if not isinstance(backbone, ResNet):
        raise ConfigError(
            f"TransUNet.backbone: {type(backbone).__name__} is no ResNet, whose maps at 1/2, 1/4, 1/8 and 1/16 are "
            "what the decoder takes; use type: ResNet with block_units such as [3, 4, 9], or leave it out"
        )
    return backbone


def _check_transformer(hidden_size: int, mlp_dim: int, num_heads: int, num_layers: int) -> None:
    sizes = {"hidden_size": hidden_size, "mlp_dim": mlp_dim, "num_heads": num_heads, "num_layers": num_layers}
    for name, value in sizes.items():
        count(f"TransUNet.{name}", value)
    if hidden_size % num_heads:
        raise ConfigError(f"TransUNet.num_heads: {num_heads} does not divide hidden_size {hidden_size}")


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


def _checked_skips(n_skip: Any, skip_channels: Any, backbone: ResNet) -> list[int]:
    """Channels of the three skips, coarsest first; 0 where there is none."""
    if not is_count(n_skip, least=0) or n_skip > SKIPS:
        raise ConfigError(f"TransUNet.n_skip: needs a number from 0 to {SKIPS}, got {n_skip!r}")
    maps = list(reversed(backbone.feat_channels[:-1]))
    given = list(skip_channels) if isinstance(skip_channels, (list, tuple)) else None
    if given is None or given[:n_skip] != maps[:n_skip]:
        raise ConfigError(f"TransUNet.skip_channels: the backbone's maps have {maps} channels, got {skip_channels!r}")
    return [channels if number < n_skip else 0 for number, channels in enumerate(maps)]
