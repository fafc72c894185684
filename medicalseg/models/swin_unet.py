"""Swin-Unet: a Swin Transformer and a decoder of the same blocks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.backbones.swin_transformer import SwinTransformer, stage_channels
from medicalseg.models.layers.arguments import count, counts, rate
from medicalseg.models.layers.drop_path import rising_rates
from medicalseg.models.layers.swin_blocks import PatchExpand, Stage, SwinOptions, initialise
from medicalseg.models.slice_layout import SliceModel, as_image_size
from medicalseg.utils.logger import logger


@manager.MODELS.add_component
class SwinUNet(SliceModel):
    """Swin-Unet (Cao et al. 2021, "Swin-Unet: Unet-like Pure Transformer for Medical Image Segmentation"), with the
    layer names, shapes and numbers of PaddleSeg3D's checkpoints.

    Images have one size, that of the encoder; see `SliceModel` for their layouts. Where an argument that says what the
    encoder is differs from it, the encoder's counts, and the log says so, but of an argument that has its default.

    Args:
        backbone: the encoder, a `SwinTransformer`.
        img_size: of the image, as the encoder's.
        patch_size: of the patches, as the encoder's.
        in_chans: channels of the image, as the encoder's.
        num_classes: channels of the output.
        embed_dim: channels of the finest maps, as the encoder's.
        depths: blocks of the decoder's stages, finest first; the coarsest has none.
        depths_decoder: taken for PaddleSeg3D's configs, which does not use it either.
        num_heads: heads of attention, as the encoder's.
        window_size: rows and columns of the windows, as the encoder's.
        mlp_ratio: hidden channels of the decoder's feed-forward parts, as a multiple of the stage's.
        qkv_bias: whether the decoder's queries, keys and values have a bias.
        qk_scale: factor of its scores; None takes (channels / heads) ** -0.5.
        drop_rate: dropout after its linear layers.
        attn_drop_rate: dropout of its weights of attention.
        drop_path_rate: its largest stochastic depth, in the last block of the coarsest stage.
        norm_layer: class of its normalisations, made with the number of channels.
        patch_norm: taken for PaddleSeg3D's configs; the encoder has its own.
        pretrained: weights to start from, see `medicalseg.utils.checkpoint.load_pretrained`.
        final_upsample: taken for PaddleSeg3D's configs; must be true: the logits have the size of the image.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    heads = ("output",)

    def __init__(
        self,
        backbone: nn.Layer,
        img_size: int | Sequence[int] = 224,
        patch_size: int = 4,
        in_chans: int = 3,
        num_classes: int = 1000,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 2, 2),
        depths_decoder: Sequence[int] = (1, 2, 2, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 7,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        norm_layer: Callable[[int], nn.Layer] = nn.LayerNorm,
        patch_norm: bool = True,
        pretrained: str | None = None,
        final_upsample: bool = True,
    ) -> None:
        encoder = _checked(backbone, final_upsample)
        super().__init__(encoder.in_chans, num_classes, encoder.image_size)
        _tell_differences(
            encoder, img_size=img_size, patch_size=patch_size, in_chans=in_chans, embed_dim=embed_dim,
            num_heads=num_heads, window_size=window_size,
        )  # fmt: skip
        stage_channels("SwinUNet", encoder.embed_dim, depths, encoder.num_heads)
        rate("SwinUNet.drop_path_rate", drop_path_rate)
        self.backbone = encoder
        options = SwinOptions(encoder.window_size, mlp_ratio, qkv_bias, qk_scale, drop_rate, attn_drop_rate, norm_layer)
        options.check("SwinUNet")
        self.layers_up = nn.LayerList(_decoder(encoder, depths, rising_rates(drop_path_rate, sum(depths)), options))
        widths = encoder.feat_channels[::-1][1:]
        reductions = [nn.Linear(2 * width, width) for width in widths]
        self.concat_back_dim = nn.LayerList([nn.Identity(), *reductions])
        self.norm = norm_layer(encoder.feat_channels[-1])
        self.norm_up = norm_layer(encoder.embed_dim)
        self.up = PatchExpand(encoder.embed_dim, encoder.embed_dim, encoder.sizes[0], encoder.patch_size, norm_layer)
        self.output = nn.Conv2D(encoder.embed_dim, num_classes, 1, bias_attr=False)
        for part in (self.layers_up, self.concat_back_dim, self.up):
            part.apply(initialise)
        self._load_pretrained(pretrained)

    @property
    def unused_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that are only kept for the checkpoints' sake and never get a gradient."""
        return ("norm.weight", "norm.bias")

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_chans, H, W)."""
        x, entered = self.backbone(x)
        x = self.layers_up[0](x)
        for number in range(1, len(self.layers_up)):
            joined = paddle.concat([x, entered[-1 - number]], axis=-1)
            x = self.layers_up[number](self.concat_back_dim[number](joined))
        return self.output(self.up(self.norm_up(x)).transpose([0, 3, 1, 2]))


def _decoder(
    encoder: SwinTransformer, depths: Sequence[int], rates: Sequence[float], options: SwinOptions
) -> list[nn.Layer]:
    """What leads from the coarsest map to the finest: an enlargement, then stages that enlarge but for the last."""
    coarsest = len(depths) - 1
    norm, channels, sizes = options.norm_layer, encoder.feat_channels, encoder.sizes
    steps: list[nn.Layer] = [PatchExpand(channels[-1], channels[-1] // 2, sizes[-1], 2, norm)]
    for level in range(coarsest - 1, -1, -1):
        width, size, first = channels[level], sizes[level], sum(depths[:level])
        larger = PatchExpand(width, width // 2, size, 2, norm) if level else None
        drops = rates[first : first + depths[level]]
        steps.append(Stage(width, size, encoder.num_heads[level], drops, options, upsample=larger))
    return steps


def _checked(backbone: Any, final_upsample: bool) -> SwinTransformer:
    if not isinstance(backbone, SwinTransformer):
        raise ConfigError(
            f"SwinUNet.backbone: {type(backbone).__name__} is no SwinTransformer; use one such as "
            "SwinTransformer_tinier_patch4_window7_224"
        )
    if len(backbone.depths) < 2:
        raise ConfigError("SwinUNet.backbone: needs at least two stages")
    if final_upsample is not True:
        raise ConfigError(f"SwinUNet.final_upsample: must be true, got {final_upsample!r}; leave it out")
    return backbone


def _tell_differences(encoder: SwinTransformer, **own: Any) -> None:
    """Check what was said of the encoder, and log where it is not so; the constructor's defaults say nothing."""
    defaults = inspect.signature(SwinUNet).parameters
    for name, value in own.items():
        said, default = _comparable(name, value), _comparable(name, defaults[name].default)
        found = encoder.image_size if name == "img_size" else _comparable(name, getattr(encoder, name))
        if said not in (found, default):
            logger.info("SwinUNet.%s: %s is not the backbone's, %s, which counts.", name, value, found)


def _comparable(name: str, value: Any) -> Any:
    if name == "img_size":
        return as_image_size(value, "SwinUNet.img_size")
    return list(counts("SwinUNet.num_heads", value)) if name == "num_heads" else count(f"SwinUNet.{name}", value)
