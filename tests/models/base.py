"""One test class for what every network must do; each network's test file inherits it."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import paddle
import pytest
import yaml

from medicalseg import ops
from medicalseg.core.export import export
from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError, UserError
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.task import TaskSpec
from medicalseg.models import SegmentationModel
from medicalseg.utils.checkpoint import load_pretrained
from tests.models.configs import check_keys, lazily_built
from tests.models.predictor import run_in_turn
from tests.models.steps import check_step, step, total, train_without_chance


def image(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """float32 noise."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class Exported(NamedTuple):
    """An export, and what the network had said about some images when it was made."""

    folder: Path
    images: list[np.ndarray]
    logits: list[np.ndarray]


class ModelTests:
    """Set the attributes.

    Attributes:
        name: under which the network is registered.
        arguments: of a small one.
        shape: a small input that fits: (N, C, X, Y, Z), or (N, C, H, W) of a network for images.
        config: a file below configs/ with this network, if there is one.
        published: its entry in `compat/state_dicts/summary.json`, if there is one.
        heads: how many heads there are in training.
        head_sizes: spatial size of each of them, where they are not all the input's.
        evaluated_heads: how many there are in evaluation, if not all.
        random: whether training draws random numbers.
        misfits: spatial sizes of volumes that do not fit, and the next ones that do.
        odd_sizes: sizes (H, W) that a network for images takes as well, the last one so small that it pads; a network
            of one size refuses them.
        other_channels: numbers of channels it can be built for.
        task_channels: channels of the images of an export, where they are not those of `shape`.
        wrong_arguments: what the constructor refuses, and what the error says; `common_wrong_arguments` of every one.
    """

    name: str
    arguments: ClassVar[dict[str, Any]]
    shape: tuple[int, ...]
    config: str | None = None
    published: str | None = None
    heads = 1
    head_sizes: tuple[tuple[int, ...], ...] = ()
    evaluated_heads: int | None = None
    random = False
    misfits: tuple[tuple[tuple[int, int, int], tuple[int, int, int]], ...] = ()
    odd_sizes: tuple[tuple[int, int], ...] = ((33, 50), (47, 31), (1, 40))
    other_channels: tuple[int, ...] = (1, 3, 5)
    task_channels: int | None = None
    common_wrong_arguments: tuple[tuple[dict[str, Any], str], ...] = (
        ({"num_classes": 0}, "num_classes"),
        ({"in_channels": 1.5}, "in_chan"),
    )
    wrong_arguments: tuple[tuple[dict[str, Any], str], ...] = ()
    tolerance = 1e-4

    @pytest.fixture(scope="class")
    def model(self) -> SegmentationModel:
        paddle.seed(7)
        return self.build()

    @pytest.fixture(scope="class")
    def exported(self, model: SegmentationModel, tmp_path_factory: pytest.TempPathFactory) -> Exported:
        """The small network's export, which has checked itself in every backend that is here."""
        folder = tmp_path_factory.mktemp("exported")
        images = [image(shape, 2) for shape in self._exported_shapes(model)]
        channels = images[0].shape[1]
        slices = SliceSpec() if model.spatial_axes == 2 else None
        task = TaskSpec(model.num_classes, in_channels=channels, slices=slices)
        export(model, task, folder, output_op="none", check_image=images[0])
        model.eval()
        with paddle.no_grad():
            return Exported(folder, images, [model(paddle.to_tensor(x))[0].numpy() for x in images])

    def build(self, **arguments: Any) -> SegmentationModel:
        return manager.MODELS[self.name](**{**self.arguments, **arguments})

    def test_contract(self, model: SegmentationModel) -> None:
        assert isinstance(model, SegmentationModel)
        assert model.data_format == {4: "NCHW", 5: "NCDHW"}[len(self.shape)]
        assert model.spatial_axes == len(self.shape) - 2
        assert model.num_classes == self.arguments["num_classes"]
        assert model.in_channels == self.shape[1]

    def test_built_from_its_config(self, model: SegmentationModel, request: pytest.FixtureRequest) -> None:
        if self.config is None:
            pytest.skip("no file of configs/ is named for this class")
        built = lazily_built(self.config)
        assert isinstance(built, type(model))
        if self.published is not None:
            check_keys(built, request.getfixturevalue("shared_compat"), self.published)

    def test_forward_and_backward(self, model: SegmentationModel) -> None:
        model.train()
        outputs = model(paddle.to_tensor(image(self.shape)))
        assert isinstance(outputs, list)
        sizes = self.head_sizes or (self.shape[2:],) * self.heads
        assert len(sizes) == self.heads
        expected = [[self.shape[0], model.num_classes, *size] for size in sizes]
        assert [list(output.shape) for output in outputs] == expected
        total(outputs).backward()
        trained = {name: p for name, p in model.named_parameters() if not p.stop_gradient}
        assert {name for name, p in trained.items() if p.grad is None} == set(model.unused_parameters) & set(trained)
        grown = [p.grad for p in trained.values() if p.grad is not None]
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
        assert len(every) == (self.evaluated_heads or self.heads)
        assert len(alone) == len(flagged) == 1
        assert bool((every[0] == alone[0]).all().item())
        assert bool((every[0] == flagged[0]).all().item())

    def test_save_and_load(self, model: SegmentationModel, tmp_path: Path) -> None:
        path = str(tmp_path / "model.pdparams")
        paddle.save(model.state_dict(), path)
        if "pretrained" in inspect.signature(manager.MODELS[self.name]).parameters:
            other = self.build(pretrained=path)
        else:
            other = self.build()
            load_pretrained(other, path)
        for key, value in model.state_dict().items():
            np.testing.assert_array_equal(other.state_dict()[key].numpy(), value.numpy(), err_msg=key)

    def test_the_seed_decides_training(self, model: SegmentationModel) -> None:
        model.train()
        x = paddle.to_tensor(image(self.shape, 5))
        with paddle.no_grad():
            outputs = []
            for seed in (11, 11, 12):
                paddle.seed(seed)
                outputs.append(model(x)[0].numpy())
        np.testing.assert_array_equal(outputs[0], outputs[1])
        assert np.array_equal(outputs[0], outputs[2]) is not self.random

    def test_export_is_accepted(self, model: SegmentationModel, exported: Exported) -> None:
        content = yaml.safe_load((exported.folder / "deploy.yaml").read_text())["Deploy"]
        spatial = model.only_size or [-1] * model.spatial_axes
        assert content["input_shape"] == [-1, exported.images[0].shape[1], *spatial]
        exact = [check for check in content["checks"] if check["precision"] == "fp32"]
        assert exact
        assert all(check["accepted"] for check in exact)

    @pytest.mark.parametrize("onednn", [False, True])
    def test_paddle_inference_gives_the_same(self, exported: Exported, onednn: bool) -> None:
        found = run_in_turn(exported.folder / "model", exported.images, onednn)
        for outputs, expected in zip(found, exported.logits, strict=True):
            (got,) = outputs
            np.testing.assert_allclose(got, expected, atol=self.tolerance)

    def _exported_shapes(self, model: SegmentationModel) -> list[tuple[int, ...]]:
        """That of the class, and another batch of another size where one is taken."""
        channels, size = self.task_channels or self.shape[1], self.shape[2:]
        if model.only_size is not None:
            other = size
        elif model.spatial_axes == 2:
            other = self.odd_sizes[0]
        else:
            other = model.next_input_shape((*size[:2], size[2] + 1))
        return [(self.shape[0], channels, *size), (3 - self.shape[0], channels, *other)]

    def test_traced_training(self, model: SegmentationModel) -> None:
        model.train()
        x = paddle.to_tensor(image(self.shape, 3))
        twin = copy.deepcopy(model)
        graph = paddle.jit.to_static(twin, full_graph=True)
        check_step(step(twin, graph, x), step(model, model, x))
        for size, _ in self.misfits[:1]:
            with pytest.raises(UserError, match="next size that fits"):
                graph(paddle.zeros([1, self.shape[1], *size]))

    def test_accelerated_like_paddles_own(self, model: SegmentationModel) -> None:
        if not ops.is_available():
            pytest.skip("this Paddle ships no usable oneDNN library")
        train_without_chance(model)
        x = paddle.to_tensor(image(self.shape, 9))
        plain = step(model, model, x)
        kinds = [type(layer) for layer in model.sublayers()]
        try:
            ops.accelerate(model, "auto")
            assert [type(layer) for layer in model.sublayers()] != kinds
            fast = step(model, model, x)
        finally:
            ops.accelerate(model, "off")
        assert [type(layer) for layer in model.sublayers()] == kinds
        check_step(fast, plain, 3e-4)

    def test_sizes_that_do_not_fit(self, model: SegmentationModel) -> None:
        if not self.misfits:
            pytest.skip("any size is taken, or one of an image alone: see test_odd_sizes")
        for size, fitting in self.misfits:
            assert model.next_input_shape(size) == fitting
            model.check_input_shape(fitting)
            with pytest.raises(UserError, match=f"{self.name} .*next size that fits is {'x'.join(map(str, fitting))}"):
                model(paddle.zeros([1, self.shape[1], *size]))

    def test_odd_sizes(self, model: SegmentationModel) -> None:
        if model.spatial_axes == 3:
            pytest.skip("of volumes: see test_sizes_that_do_not_fit")
        if model.only_size is not None:
            self._check_that_other_sizes_are_refused(model)
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

    def _check_that_other_sizes_are_refused(self, model: SegmentationModel) -> None:
        only = self.shape[2:]
        assert model.only_size == only
        for size in (*self.odd_sizes, only[::-1] if only[0] != only[1] else (2 * only[0], only[1])):
            assert model.next_input_shape(size) == only
            said = f"{self.name} takes images of {only[0]}x{only[1]} pixels .* only.*got {size[0]}x{size[1]}"
            with pytest.raises(UserError, match=said):
                model(paddle.zeros([1, self.shape[1], *size]))

    def test_number_of_channels(self) -> None:
        if not self.other_channels:
            pytest.skip("the network takes one number of channels")
        for channels in self.other_channels:
            model = self.build(in_channels=channels)
            model.eval()
            with paddle.no_grad():
                logits = model(paddle.to_tensor(image((1, channels, *self.shape[2:]))))[0]
            assert model.in_channels == channels
            assert list(logits.shape) == [1, model.num_classes, *self.shape[2:]]

    def test_smallest_size(self, model: SegmentationModel) -> None:
        smallest = model.smallest_input
        if smallest is None:
            pytest.skip("any size is taken")
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
        for arguments, named in self.common_wrong_arguments + self.wrong_arguments:
            with pytest.raises(ConfigError, match=named):
                self.build(**arguments)
