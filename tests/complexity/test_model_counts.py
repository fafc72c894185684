"""Parameters, multiply-accumulates and activations: against formulas, torchprofile and networks of known cost."""

from __future__ import annotations

import math

import paddle
import pytest
from paddle import nn
from paddle.nn import functional as F

from medicalseg import ops
from medicalseg.complexity import inspect_model
from medicalseg.complexity.render import render_info
from medicalseg.errors import UserError
from medicalseg.models import UNet3D, VNet
from medicalseg.models.base import SegmentationModel
from medicalseg.models.base_2d import SegmentationModel2D

SMALL_VNET = {"num_classes": 3}


class Zoo(nn.Layer):
    """One of everything that is counted."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2D(8, 16, 3, padding=1, groups=8, bias_attr=False)
        self.batch_norm = nn.BatchNorm2D(16)
        self.plain_norm = nn.LayerNorm(16, weight_attr=False, bias_attr=False)
        self.layer_norm = nn.LayerNorm(16)
        self.linear = nn.Linear(16, 24)
        self.group_norm = nn.GroupNorm(4, 24)
        self.instance_norm = nn.InstanceNorm2D(24)
        self.up = nn.Conv2DTranspose(24, 6, 2, stride=2)
        self.overlapping = nn.Conv2DTranspose(6, 6, 4, stride=2, padding=1, groups=3)
        self.activation = nn.LeakyReLU()
        self.drop = nn.Dropout2D(0.5)
        self.pool = nn.AvgPool2D(2)
        self.most = nn.MaxPool2D(2)
        self.scale = self.create_parameter([6, 1, 1])

    def forward(self, x):
        x = self.batch_norm(self.depthwise(self.conv(x)))
        n, _, h, w = x.shape
        x = self.layer_norm(self.plain_norm(x.flatten(2).transpose([0, 2, 1])))
        scores = F.softmax(paddle.matmul(x, x, transpose_y=True) * 0.25, axis=-1)
        x = self.linear(paddle.bmm(scores, x)).transpose([0, 2, 1]).reshape([n, 24, h, w])
        gram = paddle.matmul(x.flatten(2), x.flatten(2).transpose([0, 2, 1]))
        x = x + paddle.matmul(gram, x.flatten(2), transpose_x=True).reshape([n, 24, h, w])
        x = self.overlapping(self.up(self.instance_norm(self.group_norm(x))))
        x = self.drop(self.activation(x) * self.scale)
        x = F.interpolate(x, scale_factor=2, mode="bilinear")
        x = F.interpolate(x, size=[24, 40], mode="nearest")
        return [self.most(self.pool(x)) + x.mean(axis=[2, 3], keepdim=True)]


# 3 x 16 x 16 in; after the first convolution 8 x 8
PLAIN = {
    "convolution": 64 * 8 * 3 * 9 + 64 * 16 * 1 * 9,
    "linear": 64 * 16 * 24,
    "matmul": 2 * 64 * 64 * 16 + 24 * 64 * 24 + 24 * 24 * 64,
    "transposed convolution": 64 * 24 * 6 * 4 + 256 * 6 * 2 * 16,
}
TORCHPROFILE = {
    **PLAIN,
    "transposed convolution": 256 * 6 * 24 * 4 + 1024 * 6 * 2 * 16,
    "batch_norm": 64 * 16,
    "layer_norm": 64 * 16,
    "group_norm": 64 * 24,
    "instance_norm": 64 * 24,
    "leaky_relu": 1024 * 6,
    "multiplication": 64 * 64 + 1024 * 6,
    "bilinear upsampling": 4 * 4096 * 6,
    "average pooling": 12 * 20 * 6 + 6,
}


@pytest.mark.parametrize(("mode", "expected"), [("plain", PLAIN), ("torchprofile", TORCHPROFILE)])
@pytest.mark.parametrize("training", [True, False])
def test_every_operation_by_hand(mode, expected, training):
    info = inspect_model(Zoo(), (1, 3, 16, 16), mode, training)
    assert info.operators == expected
    assert info.macs == sum(expected.values()) == info.layers[0].macs


def test_a_batch_costs_as_many_times():
    one, three = (inspect_model(Zoo(), (batch, 3, 16, 16), "plain") for batch in (1, 3))
    assert (three.macs, three.activations) == (3 * one.macs, 3 * one.activations)


def test_layers():
    info = inspect_model(Zoo(), (1, 3, 16, 16))
    layers = {layer.name: layer for layer in info.layers}
    conv = layers["conv"]
    assert (conv.type, conv.output, conv.parameters) == ("Conv2D", (1, 8, 8, 8), 3 * 8 * 9 + 8)
    assert (conv.macs, conv.activations) == (64 * 8 * 27, 64 * 8)
    assert layers["drop"].activations == 0
    assert info.activations == sum(layer.activations for layer in info.layers if layer.depth == 1)
    assert info.activation_mb == pytest.approx(4 * info.activations / 2**20)
    assert info.weight_mb == pytest.approx(4 * info.total / 2**20)
    assert info.total - info.trainable == 2 * 16
    assert "conv" in render_info(info, 1).splitlines()[2]
    assert render_info(info, 0).startswith("network      Zoo, input 1 x 3 x 16 x 16, as evaluated")


class UNet(nn.Layer):
    """The U-Net whose cost the study prints: 341.0395 G by torchprofile's rule."""

    def __init__(self, width: int = 64, depth: int = 4):
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.LayerList([self._double(i, o) for i, o in zip([1, *widths], widths)])  # noqa: B905
        self.up = nn.LayerList([nn.Conv2DTranspose(2 * w, w, 2, stride=2) for w in widths[-2::-1]])
        self.joined = nn.LayerList([self._double(2 * w, w) for w in widths[-2::-1]])
        self.head = nn.Conv2D(width, 1, 1)

    def _double(self, first, second):
        return nn.Sequential(
            *(nn.Conv2D(first, second, 3, padding=1), nn.BatchNorm2D(second), nn.ReLU()),
            *(nn.Conv2D(second, second, 3, padding=1), nn.BatchNorm2D(second), nn.ReLU()),
        )

    def forward(self, x):
        skips = []
        for level, convolutions in enumerate(self.down):
            x = convolutions(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for up, joined in zip(self.up, self.joined):  # noqa: B905
            x = joined(paddle.concat([skips.pop(), up(x)], axis=1))
        return self.head(x)


def test_unet_of_the_study():
    network = UNet()
    info = inspect_model(network, (1, 1, 640, 640), "torchprofile")
    assert (info.trainable, info.macs) == (31_042_369, 341_039_513_600)
    assert f"{inspect_model(network, (1, 1, 640, 640)).macs / 1e9:.2f}" == "300.57"


def test_vnet_by_hand():
    network = VNet(**SMALL_VNET)
    info = inspect_model(network, (1, 1, 32, 32, 32))
    voxels = [32**3 // 8**level for level in range(5)]
    widths, downs, ups = (16, 32, 64, 128, 256), (1, 2, 3, 2), (1, 1, 2, 2)
    convolutions = voxels[0] * 16 * 125
    transposed = 0
    for level in range(1, 5):
        c, n = widths[level], voxels[level]
        convolutions += n * c * widths[level - 1] * 8 + downs[level - 1] * n * c * c * 125
        out = 2 * widths[level - 1]
        source = c if level == 4 else 2 * c
        transposed += n * source * (out // 2) * 8
        convolutions += ups[level - 1] * voxels[level - 1] * out * out * 125
    convolutions += voxels[0] * (32 * 3 * 125 + 3 * 3)
    assert info.operators == {"convolution": convolutions, "transposed convolution": transposed}
    assert info.trainable == 45_607_944


def test_unet3d_by_hand():
    info = inspect_model(UNet3D(in_channels=3, num_classes=3), (1, 3, 16, 16, 16))
    voxels = [16**3 // 8**level for level in range(4)]
    encoder = ((3, 32, 64), (64, 64, 128), (128, 128, 256), (256, 256, 512))
    total = sum(27 * n * (a * b + b * c) for n, (a, b, c) in zip(voxels, encoder, strict=True))
    for level, fine in ((2, 256), (1, 128), (0, 64)):
        coarse = 2 * fine
        total += 8 * voxels[level + 1] * coarse * coarse + 27 * voxels[level] * ((coarse + fine) * fine + fine * fine)
    assert info.macs == total + voxels[0] * 64 * 3
    assert (info.trainable, info.total) == (19_074_627, 19_079_299)


class TwoHeads(SegmentationModel):
    """A network with an auxiliary head."""

    def __init__(self):
        super().__init__(1, 2)
        self.main, self.other = nn.Conv3D(1, 2, 1), nn.Conv3D(1, 2, 3, padding=1)

    def main_logits(self, x):
        return self.main(x)

    def all_logits(self, x):
        return [self.main(x), self.other(x)]


def test_auxiliary_heads_count_in_training_only():
    network = TwoHeads()
    shape = (1, 1, 4, 4, 4)
    assert inspect_model(network, shape).macs == 64 * 2
    assert inspect_model(network, shape, training=True).macs == 64 * 2 + 64 * 2 * 27
    assert network.main_head_only is False


def test_acceleration_changes_no_count():
    plain, fast = (UNet3D(base_channels=4, depth=3) for _ in range(2))
    fast = ops.accelerate(fast)
    shape = (1, 1, 16, 16, 16)
    first, second = (inspect_model(network, shape, "torchprofile") for network in (plain, fast))
    assert first == second


def test_the_network_is_left_as_it_was():
    network = UNet3D(base_channels=4, depth=2)
    network.train()
    network.encoders[0].eval()
    x = paddle.rand([1, 1, 8, 8, 8])
    shape = paddle.shape
    before = [layer.training for layer in network.sublayers(include_self=True)]
    keys = [set(layer.__dict__) for layer in network.sublayers(include_self=True)]
    weights = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    inspect_model(network, (1, 1, 16, 16, 16), "torchprofile")
    assert [layer.training for layer in network.sublayers(include_self=True)] == before
    assert [set(layer.__dict__) for layer in network.sublayers(include_self=True)] == keys
    assert all((value.numpy() == weights[name]).all() for name, value in network.state_dict().items())
    assert paddle.shape is shape
    assert not any(layer._forward_post_hooks for layer in network.sublayers())
    assert paddle.in_dynamic_mode()
    assert network(x)[0].shape == [1, 4, 8, 8, 8]


def test_a_layer_that_is_used_twice():
    class Twice(nn.Layer):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return self.linear(self.linear(x))

    info = inspect_model(Twice(), (2, 4))
    assert (info.macs, info.trainable, info.activations) == (2 * 2 * 4 * 4, 20, 2 * 2 * 4)


def test_product_that_is_added_to_something():
    class Added(nn.Layer):
        def __init__(self):
            super().__init__()
            self.weight = self.create_parameter([7, 5])

        def forward(self, x):
            return paddle.addmm(paddle.zeros([3, 5]), x, self.weight)

    assert inspect_model(Added(), (3, 7)).macs == 3 * 7 * 5


def test_sizes_asked_for_with_paddle_shape():
    class Resizing(nn.Layer):
        def forward(self, x):
            small = F.avg_pool2d(x, 2)
            return F.interpolate(small, size=paddle.shape(x)[2:], mode="bilinear")

    assert inspect_model(Resizing(), (1, 1, 6, 8), "torchprofile").macs == 12 + 4 * 48


def test_what_cannot_be_counted_is_said():
    class Einsum(nn.Layer):
        def forward(self, x):
            return paddle.einsum("ab,cb->ac", x, x)

    class Hidden(nn.Layer):
        def forward(self, x):
            return F.relu(x[x > 0]).unsqueeze(0) @ paddle.ones([1, 1])

    notes = inspect_model(Einsum(), (2, 3)).notes
    assert notes == () or "not counted: 1 x einsum" in notes
    with pytest.raises(UserError, match=r"matmul: the size of its input .* is not known"):
        inspect_model(Hidden(), (2, 3))


class Stubborn(nn.Layer):
    """Takes nothing."""

    def forward(self, x):
        raise ValueError("needs two inputs")


def test_bad_input():
    network = UNet3D(base_channels=4, depth=3)
    for shape, reason in (
        ((1, 1, 15, 16, 16), "16"),
        ((1, 2, 16, 16, 16), "in_channels 1"),
        ((1, 1, 16, 16), "volumes"),
        ((1, 1, 0, 16, 16), "positive"),
    ):
        with pytest.raises(UserError, match=reason):
            inspect_model(network, shape)
    with pytest.raises(UserError, match="mode"):
        inspect_model(network, (1, 1, 16, 16, 16), "thop")
    with pytest.raises(UserError, match=r"Stubborn cannot be traced on an input of shape \[1, 3\]: .*needs two"):
        inspect_model(Stubborn(), (1, 3))


class Coarse(SegmentationModel2D):
    """Computes on at least 8 x 8 pixels."""

    smallest_side = 8

    def __init__(self):
        super().__init__(1, 2)
        self.conv = nn.Conv2D(1, 2, 1)

    def main_logits(self, x):
        return self.conv(x)


class Thrifty(nn.Layer):
    """Knows a way with fewer operations than its paper."""

    as_published = False

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        if self.as_published:
            return self.second(self.first(x))
        return x @ (self.first.weight @ self.second.weight)


@pytest.mark.parametrize("mode", ["plain", "torchprofile"])
def test_shorter_ways_count_as_published(mode):
    network = Thrifty()
    assert inspect_model(network, (9, 4), mode).macs == 2 * 9 * 4 * 4
    assert network.as_published is False


def test_a_padded_image_is_said():
    info = inspect_model(Coarse(), (1, 1, 5, 10))
    assert info.notes == ("the image is padded; the layers compute on 1 x 1 x 8 x 10",)
    assert info.macs == 8 * 10 * 2
    assert info.input_shape == (1, 1, 5, 10)


def test_same_as_torchprofile():
    torch = pytest.importorskip("torch")
    torchprofile = pytest.importorskip("torchprofile")

    class Other(torch.nn.Module):
        def __init__(self):
            super().__init__()
            t = torch.nn
            self.parts = t.Sequential(
                *(t.Conv2d(3, 8, 3, 2, 1), t.Conv2d(8, 16, 3, 1, 1, groups=8, bias=False), t.BatchNorm2d(16)),
                t.LeakyReLU(),
            )
            self.norms = t.ModuleList([t.LayerNorm(16, elementwise_affine=False), t.LayerNorm(16)])
            self.linear = t.Linear(16, 24)
            self.rest = t.Sequential(
                *(t.GroupNorm(4, 24), t.InstanceNorm2d(24, affine=True), t.ConvTranspose2d(24, 6, 2, 2)),
                *(t.ConvTranspose2d(6, 6, 4, 2, 1, groups=3), t.AvgPool2d(2), t.MaxPool2d(2)),
                t.Upsample(scale_factor=2, mode="bilinear"),
            )

        def forward(self, x):
            x = self.parts(x)
            n, _, h, w = x.shape
            x = x.flatten(2).transpose(1, 2)
            x = self.norms[1](self.norms[0](x))
            x = torch.matmul(torch.softmax(torch.matmul(x, x.transpose(1, 2)) * 0.25, -1), x)
            x = self.rest(self.linear(x).transpose(1, 2).reshape(n, 24, h, w))
            return x * x.mean((2, 3), keepdim=True)

    class Ours(nn.Layer):
        def __init__(self):
            super().__init__()
            self.parts = nn.Sequential(
                *(nn.Conv2D(3, 8, 3, 2, 1), nn.Conv2D(8, 16, 3, 1, 1, groups=8, bias_attr=False)),
                *(nn.BatchNorm2D(16), nn.LeakyReLU()),
            )
            self.norms = nn.LayerList([nn.LayerNorm(16, weight_attr=False, bias_attr=False), nn.LayerNorm(16)])
            self.linear = nn.Linear(16, 24)
            self.rest = nn.Sequential(
                *(nn.GroupNorm(4, 24), nn.InstanceNorm2D(24), nn.Conv2DTranspose(24, 6, 2, 2)),
                *(nn.Conv2DTranspose(6, 6, 4, 2, 1, groups=3), nn.AvgPool2D(2), nn.MaxPool2D(2)),
                nn.Upsample(scale_factor=2, mode="bilinear"),
            )

        def forward(self, x):
            x = self.parts(x)
            n, _, h, w = x.shape
            x = x.flatten(2).transpose([0, 2, 1])
            x = self.norms[1](self.norms[0](x))
            x = F.softmax(x @ x.transpose([0, 2, 1]) * 0.25, axis=-1) @ x
            x = self.rest(self.linear(x).transpose([0, 2, 1]).reshape([n, 24, h, w]))
            return x * x.mean(axis=[2, 3], keepdim=True)

    expected = torchprofile.profile_macs(Other(), torch.rand(1, 3, 16, 16))
    assert inspect_model(Ours(), (1, 3, 16, 16), "torchprofile").macs == expected
    assert math.isfinite(expected)
