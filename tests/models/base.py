"""One test class for what every network must do; each network's test file inherits it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import paddle
import pytest
from paddle import inference
from paddle.static import InputSpec

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError, UserError
from medicalseg.models import SegmentationModel


def image(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """float32 noise."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def trainable_elements(model: Any) -> int:
    """Numbers that training changes."""
    return sum(int(parameter.size) for parameter in model.parameters() if not parameter.stop_gradient)


def exported_graph(prefix: Path) -> Path:
    """The graph of the network saved as `prefix`, in either Paddle's format."""
    graph = prefix.with_suffix(".json")
    return graph if graph.exists() else prefix.with_suffix(".pdmodel")


def run_exported(prefix: Path, x: np.ndarray, onednn: bool = False) -> list[np.ndarray]:
    """Outputs of Paddle Inference for the network saved as `prefix`, in its second run: oneDNN keeps what it can."""
    config = inference.Config(str(exported_graph(prefix)), str(prefix.with_suffix(".pdiparams")))
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(1)
    if onednn:
        config.enable_mkldnn()
    elif hasattr(config, "disable_mkldnn"):
        config.disable_mkldnn()
    predictor = inference.create_predictor(config)
    for content in (np.ascontiguousarray(-x), x):
        predictor.get_input_handle(predictor.get_input_names()[0]).copy_from_cpu(content)
        predictor.run()
    return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]


class _Wrapper(paddle.nn.Layer):
    def __init__(self, model: SegmentationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.model(x)[0]


class ModelTests:
    """Set the attributes.

    Attributes:
        shape: a small input that fits: (N, C, X, Y, Z), or (N, C, H, W) of a network for images.
        misfits: spatial sizes of volumes that do not fit, and the next ones that do.
        odd_sizes: sizes (H, W) that a network for images takes as well, the last one so small that it pads.
        other_channels: numbers of channels it can be built for.
        head_sizes: spatial size of each head in training, where they are not all the input's.
        evaluated_heads: how many heads there are in evaluation, if not all.
    """

    name: str
    arguments: ClassVar[dict[str, Any]]
    shape: tuple[int, ...]
    heads = 1
    head_sizes: tuple[tuple[int, ...], ...] = ()
    evaluated_heads: int | None = None
    unused: tuple[str, ...] = ()
    misfits: tuple[tuple[tuple[int, int, int], tuple[int, int, int]], ...] = ()
    odd_sizes: tuple[tuple[int, int], ...] = ((33, 50), (47, 31), (1, 40))
    other_channels: tuple[int, ...] = (1, 3, 5)
    wrong_arguments: tuple[tuple[dict[str, Any], str], ...] = ()
    tolerance = 1e-4

    @pytest.fixture(scope="class")
    def model(self) -> SegmentationModel:
        paddle.seed(7)
        return self.build()

    def build(self, **arguments: Any) -> SegmentationModel:
        return manager.MODELS[self.name](**{**self.arguments, **arguments})

    def test_contract(self, model: SegmentationModel) -> None:
        assert isinstance(model, SegmentationModel)
        assert model.data_format == {4: "NCHW", 5: "NCDHW"}[len(self.shape)]
        assert model.spatial_axes == len(self.shape) - 2
        assert model.num_classes == self.arguments["num_classes"]
        assert model.in_channels == self.shape[1]

    def test_forward_and_backward(self, model: SegmentationModel) -> None:
        model.train()
        outputs = model(paddle.to_tensor(image(self.shape)))
        assert isinstance(outputs, list)
        sizes = self.head_sizes or (self.shape[2:],) * self.heads
        assert len(sizes) == self.heads
        expected = [[self.shape[0], model.num_classes, *size] for size in sizes]
        assert [list(output.shape) for output in outputs] == expected
        sum((output.square().mean() for output in outputs), paddle.zeros([])).backward()
        without = {
            name
            for name, parameter in model.named_parameters()
            if not parameter.stop_gradient and parameter.grad is None
        }
        assert all(name.startswith(self.unused) for name in without) if self.unused else not without
        grown = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(bool(paddle.isfinite(gradient).all().item()) for gradient in grown)
        model.clear_gradients()

    def test_main_head_only(self, model: SegmentationModel) -> None:
        model.eval()
        x = paddle.to_tensor(image(self.shape, 1))
        with paddle.no_grad():
            every, alone = model(x), model.inference_forward(x)
            model.main_head_only = True
            flagged = model(x)
            model.main_head_only = False
        assert len(alone) == len(flagged) == 1
        assert bool((every[0] == alone[0]).all().item())
        assert bool((every[0] == flagged[0]).all().item())

    def test_save_and_load(self, model: SegmentationModel, tmp_path: Path) -> None:
        model.eval()
        path = str(tmp_path / "model.pdparams")
        paddle.save(model.state_dict(), path)
        other = self.build(pretrained=path)
        for key, value in model.state_dict().items():
            np.testing.assert_array_equal(other.state_dict()[key].numpy(), value.numpy(), err_msg=key)

    def test_the_seed_decides_training(self, model: SegmentationModel) -> None:
        model.train()
        x = paddle.to_tensor(image(self.shape, 5))
        with paddle.no_grad():
            outputs = []
            for _ in range(2):
                paddle.seed(11)
                outputs.append(model(x)[0].numpy())
        np.testing.assert_array_equal(*outputs)

    @pytest.mark.parametrize("dynamic", [True, False])
    def test_paddle_inference_gives_the_same(self, model: SegmentationModel, tmp_path: Path, dynamic: bool) -> None:
        model.eval()
        flat = len(self.shape) == 4
        self._save(model, tmp_path / "model", dynamic)
        for size in (self.shape[2:], *(self.odd_sizes[:1] if flat and dynamic else ())):
            x = image((*self.shape[:2], *size), 2)
            with paddle.no_grad():
                expected = [output.numpy() for output in model(paddle.to_tensor(x))]
            for onednn in (False, True) if flat else (False,):
                outputs = run_exported(tmp_path / "model", x, onednn)
                assert len(outputs) == len(expected) == (self.evaluated_heads or self.heads)
                for got, wanted in zip(outputs, expected, strict=True):
                    np.testing.assert_allclose(got, wanted, atol=self.tolerance)

    def _save(self, model: SegmentationModel, prefix: Path, dynamic: bool) -> None:
        shape = [None, self.shape[1]] + [None] * len(self.shape[2:]) if dynamic else list(self.shape)
        try:
            paddle.jit.save(model, str(prefix), input_spec=[InputSpec(shape, "float32", "x")])
        finally:
            model.forward = type(model).forward.__get__(model)

    def test_traced_training(self, model: SegmentationModel) -> None:
        model.eval()
        x = paddle.to_tensor(image(self.shape, 3))
        expected = model(x)[0].numpy()
        traced = paddle.jit.to_static(model, full_graph=True)
        try:
            output = traced(x)[0]
            output.mean().backward()
            np.testing.assert_allclose(output.numpy(), expected, atol=self.tolerance)
            for size, _ in self.misfits[:1]:
                with pytest.raises(UserError, match="next size that fits"):
                    traced(paddle.zeros([1, self.shape[1], *size]))
        finally:
            model.forward = type(model).forward.__get__(model)
            model.clear_gradients()

    def test_traced_inside_another_layer(self, model: SegmentationModel) -> None:
        model.eval()
        x = paddle.to_tensor(image(self.shape, 4))
        with paddle.no_grad():
            expected = model(x)[0].numpy()
            traced = paddle.jit.to_static(_Wrapper(model), full_graph=True)
            np.testing.assert_allclose(traced(x).numpy(), expected, atol=self.tolerance)

    def test_sizes_that_do_not_fit(self, model: SegmentationModel) -> None:
        for size, fitting in self.misfits:
            assert model.next_input_shape(size) == fitting
            model.check_input_shape(fitting)
            with pytest.raises(UserError, match=f"{self.name} .*next size that fits is {'x'.join(map(str, fitting))}"):
                model(paddle.zeros([1, self.shape[1], *size]))

    def test_odd_sizes(self, model: SegmentationModel) -> None:
        if len(self.shape) == 5:
            return
        model.eval()
        for size in self.odd_sizes:
            x = image((1, self.shape[1], *size), 6)
            with paddle.no_grad():
                logits = model(paddle.to_tensor(x))[0].numpy()
            assert logits.shape == (1, model.num_classes, *size)
            assert np.isfinite(logits).all()
        padded = model.next_input_shape(size)
        assert padded != size or model.smallest_input == (1, 1)
        x = np.pad(x, ((0, 0), (0, 0), *((0, wanted - given) for given, wanted in zip(size, padded, strict=True))))
        with paddle.no_grad():
            whole = model(paddle.to_tensor(x))[0].numpy()
        np.testing.assert_array_equal(logits, whole[..., : size[0], : size[1]])

    def test_number_of_channels(self) -> None:
        if len(self.shape) == 5:
            return
        for channels in self.other_channels:
            model = self.build(in_channels=channels)
            model.eval()
            with paddle.no_grad():
                logits = model(paddle.to_tensor(image((1, channels, *self.shape[2:]))))[0]
            assert list(logits.shape) == [1, model.num_classes, *self.shape[2:]]

    def test_smallest_size(self, model: SegmentationModel) -> None:
        smallest = model.smallest_input
        assert smallest is not None
        assert model.next_input_shape((1,) * len(smallest)) == smallest
        model.eval()
        with paddle.no_grad():
            assert list(model(paddle.zeros([1, self.shape[1], *smallest]))[0].shape[2:]) == list(smallest)

    def test_wrong_channels_and_axes(self, model: SegmentationModel) -> None:
        channels = self.shape[1]
        with pytest.raises(UserError, match=f"in_channels {channels}, got {channels + 1} channels"):
            model(paddle.zeros([1, channels + 1, *self.shape[2:]]))
        with pytest.raises(UserError, match=f"{len(self.shape) - 1} axes"):
            model(paddle.zeros(list(self.shape[1:])))

    def test_wrong_arguments(self) -> None:
        common = (({"num_classes": 0}, "num_classes"), ({"in_channels": 1.5}, "in_channels"))
        for arguments, named in common + self.wrong_arguments:
            with pytest.raises(ConfigError, match=named):
                self.build(**arguments)
