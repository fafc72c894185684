"""A network rewritten for deployment: the same numbers from fewer and simpler operations.

Batch norm of evaluation mode is an affine map per channel, so it is folded into the convolution before it (Paddle
Inference folds it in 2D only). A layer that computes its weights from others has a method `deployed`, which gives the
ordinary layer with the weights as they are. All works on a copy; the trained network is not touched.
"""

from __future__ import annotations

import copy

import numpy as np
import paddle
from paddle import nn

from medicalseg.utils.logger import logger

CONVOLUTIONS = (nn.Conv1D, nn.Conv2D, nn.Conv3D)
TRANSPOSED = (nn.Conv1DTranspose, nn.Conv2DTranspose, nn.Conv3DTranspose)
BATCH_NORMS = (nn.BatchNorm1D, nn.BatchNorm2D, nn.BatchNorm3D, nn.SyncBatchNorm)
FOLD_TOLERANCE = 1e-4


def fold_batch_norms(model: nn.Layer, image: np.ndarray) -> nn.Layer:
    """A copy of `model` whose convolutions have taken in the batch norm that follows them.

    The pairs are those of one forward pass, without convolutions whose output something else takes as well. Where the
    copy's logits then differ from the network's, an unfolded copy is returned and the log says so.

    Args:
        model: a network whose forward returns a list, in evaluation mode.
        image: (N, C, X, Y, Z), an input that it takes.
    """
    x = paddle.to_tensor(image)
    folded = _with_computed_weights(copy.deepcopy(model))
    with paddle.no_grad():
        expected = folded(x)[0].numpy()
        pairs = _unshared(folded, x, _pairs(folded, x), expected)
        for convolution, norm in pairs:
            _fold(convolution, norm)
        _replace(folded, {id(norm) for _, norm in pairs})
        difference = float(np.abs(folded(x)[0].numpy() - expected).max())
    allowed = FOLD_TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if difference <= allowed:
        return folded
    logger.warning(
        "Batch norm is exported as it is: folded into the convolutions it changed the logits by %.2g (allowed %.2g).",
        difference,
        allowed,
    )
    return _with_computed_weights(copy.deepcopy(model))


def _with_computed_weights(model: nn.Layer) -> nn.Layer:
    """Put, in place, what `deployed` gives in place of layers that have it; the model."""
    for parent in model.sublayers(include_self=True):
        for name, layer in parent.named_children():
            if hasattr(layer, "deployed"):
                setattr(parent, name, layer.deployed())
    return model


def compose_group_norms(model: nn.Layer) -> nn.Layer:
    """Replace, in place, group norm by reshaping and instance norm, which every exchange format knows; the model."""
    for parent in model.sublayers(include_self=True):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.GroupNorm):
                setattr(parent, name, ComposedGroupNorm(layer))
    return model


class ComposedGroupNorm(nn.Layer):
    """Group norm (Wu and He 2018) by way of instance norm over each group.

    Args:
        norm: the layer whose numbers it computes, channels first.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.groups, self.epsilon = norm._num_groups, norm._epsilon
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, ...) to the same shape."""
        one = [1, -1] + [1] * (x.ndim - 2)
        grouped = x.reshape([0, self.groups, -1])
        normal = nn.functional.instance_norm(grouped, eps=self.epsilon).reshape(paddle.shape(x))
        if self.weight is not None:
            normal = normal * self.weight.reshape(one)
        return normal if self.bias is None else normal + self.bias.reshape(one)


def _pairs(model: nn.Layer, x: paddle.Tensor) -> list[tuple[nn.Layer, nn.Layer]]:
    """Convolutions and the batch norm that took their output; both used once in the forward pass."""
    made: list[tuple[nn.Layer, paddle.Tensor]] = []
    calls: dict[int, int] = {}
    found: list[tuple[nn.Layer, nn.Layer]] = []

    def after_convolution(layer: nn.Layer, inputs: tuple[paddle.Tensor, ...], output: paddle.Tensor) -> None:
        calls[id(layer)] = calls.get(id(layer), 0) + 1
        made.append((layer, output))

    def before_norm(layer: nn.Layer, inputs: tuple[paddle.Tensor, ...]) -> None:
        calls[id(layer)] = calls.get(id(layer), 0) + 1
        found.extend((convolution, layer) for convolution, output in made if output is inputs[0])

    hooks = []
    for layer in model.sublayers():
        if isinstance(layer, CONVOLUTIONS + TRANSPOSED) and (isinstance(layer, CONVOLUTIONS) or layer._groups == 1):
            hooks.append(layer.register_forward_post_hook(after_convolution))
        elif isinstance(layer, BATCH_NORMS) and layer.training is False:
            hooks.append(layer.register_forward_pre_hook(before_norm))
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return [pair for pair in found if all(calls[id(layer)] == 1 for layer in pair)]


def _unshared(
    model: nn.Layer, x: paddle.Tensor, pairs: list[tuple[nn.Layer, nn.Layer]], expected: np.ndarray
) -> list[tuple[nn.Layer, nn.Layer]]:
    """Those of `pairs` whose convolution feeds nothing but its norm.

    The convolutions' outputs are negated, and negated back before the norms: if the logits stay, nobody else looked.
    """
    if not pairs or _same_when_negated(model, x, pairs, expected):
        return pairs
    if len(pairs) == 1:
        return []
    half = len(pairs) // 2
    return _unshared(model, x, pairs[:half], expected) + _unshared(model, x, pairs[half:], expected)


def _same_when_negated(
    model: nn.Layer, x: paddle.Tensor, pairs: list[tuple[nn.Layer, nn.Layer]], expected: np.ndarray
) -> bool:
    hooks = []
    for convolution, norm in pairs:
        hooks.append(convolution.register_forward_post_hook(lambda layer, inputs, output: -output))
        hooks.append(norm.register_forward_pre_hook(lambda layer, inputs: (-inputs[0],)))
    try:
        return bool(np.array_equal(model(x)[0].numpy(), expected, equal_nan=True))
    finally:
        for hook in hooks:
            hook.remove()


def _fold(convolution: nn.Layer, norm: nn.Layer) -> None:
    mean, variance = (value.numpy().astype(np.float64) for value in (norm._mean, norm._variance))
    factor = 1 / np.sqrt(variance + norm._epsilon)
    if norm.weight is not None:
        factor = factor * norm.weight.numpy()
    shift = -mean * factor
    if norm.bias is not None:
        shift = shift + norm.bias.numpy()
    weight = convolution.weight.numpy().astype(np.float64)
    axis = 1 if isinstance(convolution, TRANSPOSED) else 0
    along = [1] * weight.ndim
    along[axis] = -1
    convolution.weight.set_value((weight * factor.reshape(along)).astype(np.float32))
    if convolution.bias is None:
        convolution.bias = convolution.create_parameter([len(factor)], is_bias=True)
        convolution.bias.set_value(shift.astype(np.float32))
    else:
        convolution.bias.set_value((convolution.bias.numpy() * factor + shift).astype(np.float32))


def _replace(model: nn.Layer, norms: set[int]) -> None:
    for parent in model.sublayers(include_self=True):
        for name, layer in parent.named_children():
            if id(layer) in norms:
                setattr(parent, name, nn.Identity())
