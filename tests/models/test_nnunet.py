"""nnU-Net's first U-Net, built from plans."""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import paddle
import pytest
from paddle.static import InputSpec

from medicalseg import losses
from medicalseg.errors import CheckpointError, ConfigError
from medicalseg.losses import DC_and_CE_loss, MultipleLoss
from medicalseg.models import NNUNet, PlainConvUNet, PlainConvUNet2D, SegmentationModel
from medicalseg.utils.nnunet_plan import plan_file, read_plan
from tests.models.base import ModelTests, image
from tests.models.configs import check_keys
from tests.models.predictor import run_exported
from tests.models.staged import stirred

PLANS = Path(__file__).parent / "plans"
THIN, FLAT = str(PLANS / "thin.json"), str(PLANS / "flat.json")
LUNG = Path(__file__).resolve().parents[2] / "configs/nnunet/msd_lung"


FLAGS = (
    *("cascade", "deep_supervision", "use_dropout", "upscale_logits"),
    *("convolutional_pooling", "convolutional_upsampling"),
)


class NNUNetTests(ModelTests):
    name = "NNUNet"
    heads = 2
    evaluated_heads = 1
    other_channels = ()
    common_wrong_arguments = ()
    wrong_arguments: ClassVar = (
        ({"num_classes": 4}, "num_classes: 4 differs from the plan's 3"),
        ({"num_classes": -1}, "num_classes"),
        ({"num_classes": True}, "num_classes"),
        ({"stage": 7}, "has no stage 7"),
        *(({"feat_map_mul_on_downscale": value}, "feat_map_mul_on_downscale") for value in (0, float("inf"), "2")),
        *(({name: "false"}, f"NNUNet.{name}: needs true or false") for name in FLAGS),
        ({"plan_path": "nowhere.pkl"}, "plan_path: nowhere.pkl does not exist"),
    )

    @pytest.fixture(scope="class")
    def model(self) -> SegmentationModel:
        paddle.seed(7)
        return stirred(self.build())

    @pytest.mark.parametrize(
        "changes",
        [
            {"convolutional_pooling": False},
            {"convolutional_upsampling": False, "upscale_logits": True},
        ],
    )
    def test_other_ways_down_and_up(self, changes: dict[str, Any], tmp_path: Path) -> None:
        model = stirred(self.build(**changes))
        flat = len(self.shape) == 4
        sizes = ((13, 10), self.shape[2:]) if flat else (self.shape[2:],)
        for size in sizes:
            heads = model(paddle.to_tensor(image((*self.shape[:2], *size))))
            assert list(heads[0].shape[2:]) == list(size)
            assert (list(heads[1].shape[2:]) == list(size)) is bool(changes.get("upscale_logits", False))
        assert [layer.weight.shape[0] for layer in model.network.seg_heads] == [3, 3]
        model.eval()
        x = image(self.shape, 2)
        with paddle.no_grad():
            expected = model(paddle.to_tensor(x))[0].numpy()
        shape = [None, 2, *[None] * model.spatial_axes]
        paddle.jit.save(model, str(tmp_path / "model"), input_spec=[InputSpec(shape, "float32", "x")])
        for onednn in (False, True):
            np.testing.assert_allclose(run_exported(tmp_path / "model", x, onednn)[0], expected, atol=1e-4)

    def test_every_parameter_but_those_of_the_coarsest_head_is_trained(self) -> None:
        model = stirred(self.build())
        heads = model(paddle.to_tensor(image(self.shape)))
        label = paddle.to_tensor(np.random.default_rng(0).integers(0, 3, (self.shape[0], *self.shape[2:])))
        loss = MultipleLoss([DC_and_CE_loss()], [1.0], plan_path=self.arguments["plan_path"], stage=0)
        losses.compute(heads, label, {"types": [loss], "coef": [1]})[0].backward()
        assert [name for name, p in model.named_parameters() if p.grad is None] == ["network.seg_heads.0.weight"]


class TestVolumes(NNUNetTests):
    """A thin volume in the plan's order, (z, y, x): strides and kernels differ by axis."""

    arguments: ClassVar = {"plan_path": THIN, "stage": 0, "num_classes": 3}
    config = "nnunet/msd_lung/nnunet_3d_fullres_msd_lung.yml"
    published = "nnunet_3d_fullres_msd_lung"
    shape = (2, 2, 4, 8, 12)
    head_sizes = ((4, 8, 12), (4, 4, 6))
    misfits = (((5, 13, 8), (6, 16, 8)), ((1, 1, 1), (2, 4, 4)))

    def test_layers(self, model: NNUNet) -> None:
        network = model.network
        assert network.conv_blocks_context[0].blocks[1].conv.weight.shape == [4, 4, 1, 3, 3]
        assert network.conv_blocks_context[1].blocks[0].conv._stride == [1, 2, 2]
        assert network.conv_blocks_localization[1][0].blocks[0].conv.weight.shape == [4, 8, 3, 3, 3]
        assert network.upsample_ops[1].weight.shape == [8, 4, 1, 2, 2]

    def test_cascade(self) -> None:
        assert [self.build(stage=k, cascade=True).in_channels for k in (0, 1)] == [2, 4]
        with pytest.raises(ConfigError, match=r"stage: .*thin.json has stages \[0, 1\]; name one"):
            self.build(stage=None)


class TestImages(NNUNetTests):
    arguments: ClassVar = {"plan_path": FLAT, "num_classes": 3}
    config = "nnunet/msd_lung/nnunet_2d_msd_lung.yml"
    published = "nnunet_2d_msd_lung"
    shape = (2, 2, 13, 10)
    head_sizes = ((13, 10), (7, 5))


@pytest.mark.parametrize(("plan", "stage", "other"), [(THIN, 1, PlainConvUNet), (FLAT, 0, PlainConvUNet2D)])
def test_the_numbers_of_plain_conv_unet(plan: str, stage: int, other: type) -> None:
    """`PlainConvUNet` is compared with nnU-Net's own network; where kernels are alike both have the same layers."""
    model = stirred(NNUNet(plan, stage=stage))
    planned = read_plan(plan).stages[stage]
    strides = [[1] * model.spatial_axes, *map(list, planned.pools)]
    twin = other(2, 3, [4, 8, 16], strides=strides)
    state = {key: paddle.zeros_like(value) for key, value in twin.state_dict().items()}
    state.update(as_plain_conv_unet(model, len(strides)))
    twin.set_state_dict(state)
    x = paddle.to_tensor(image((2, 2, *planned.patch_size), 3))
    with paddle.no_grad():
        for head, expected in zip(model(x), twin(x), strict=True):
            np.testing.assert_allclose(head.numpy(), expected.numpy(), atol=1e-5)


def as_plain_conv_unet(model: NNUNet, stages: int) -> dict[str, paddle.Tensor]:
    """Weights under the names of the other network, which has biases besides."""
    renamed = {}
    for key, value in model.state_dict().items():
        kind, level, *rest = key.removeprefix("network.").split(".")
        last = ".".join(rest[-2:]).replace("instnorm", "norm")
        number = {5: 0, 4: 1}.get(len(rest), 0)
        number = rest[number]
        if kind == "conv_blocks_context":
            renamed[f"encoder.{level}.{number}.{last}"] = value
        elif kind == "conv_blocks_localization":
            renamed[f"decoder.{level}.{number}.{last}"] = value
        elif kind == "upsample_ops":
            renamed[f"ups.{level}.{last}"] = value
        else:
            renamed[f"outputs.{stages - 2 - int(level)}.{last}"] = value
    return renamed


@pytest.mark.parametrize(
    ("name", "plan", "arguments"),
    [
        ("nnunet_2d_msd_lung", "plans_2D.json", {}),
        ("nnunet_3d_fullres_msd_lung", "plans_3D.json", {"stage": 1}),
        ("nnunet_3d_lowres_msd_lung", "plans_3D.json", {"stage": 0, "cascade": True}),
        ("nnunet_3d_cascade_fullres_msd_lung", "plans_3D.json", {"stage": 1, "cascade": True}),
    ],
)
def test_keys_of_paddleseg3d(shared_compat: Path, name: str, plan: str, arguments: dict[str, Any]) -> None:
    with paddle.LazyGuard():
        model = NNUNet(LUNG / plan, **arguments)
    check_keys(model, shared_compat, name)


@pytest.mark.parametrize("name", ["2D", "3D"])
def test_the_shipped_plans_are_upstreams(shared_compat: Path, name: str) -> None:
    recorded = json.loads((shared_compat / "state_dicts/nnunet_msd_lung_plans.json").read_text())
    shipped = json.loads((LUNG / f"plans_{name}.json").read_text())
    assert shipped["plans_per_stage"] == recorded[name]
    assert shipped["transpose_forward"] == recorded["transpose_forward"]


def pickled(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def upstream_pickle() -> dict[str, Any]:
    """The thin plan with the kinds of numbers and containers that nnU-Net's planner leaves behind."""
    content = json.loads(Path(THIN).read_text())
    stages = {int(number): stage for number, stage in content["plans_per_stage"].items()}
    for stage in stages.values():
        stage["patch_size"] = np.array(stage["patch_size"])
        stage["current_spacing"] = np.array(stage["current_spacing"])
        stage["batch_size"] = np.int64(stage["batch_size"])
        stage["pool_op_kernel_sizes"] = [list(map(np.int64, row)) for row in stage["pool_op_kernel_sizes"]]
    by_channel = {0: "nonCT", 1: "nonCT"}
    intensities = OrderedDict([(0, {"mean": np.float64(3.5), "sd": np.float32(2.0)})])
    return {
        **content,
        "plans_per_stage": stages,
        "normalization_schemes": OrderedDict(by_channel),
        "use_mask_for_norm": OrderedDict([(0, False), (1, False)]),
        "modalities": {0: "MR", 1: "MR"},
        "dataset_properties": {"intensityproperties": intensities, "all_sizes": [(4, 8, 12)], "all_classes": [1, 2]},
        "list_of_npz_files": ["cropped/case_001.npz"],
        "keep_only_largest_region": None,
    }


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickled_plan_is_the_same_plan(tmp_path: Path, protocol: int) -> None:
    path = pickled(tmp_path / "nnUNetPlansv2.1_plans_3D.pkl", upstream_pickle(), protocol)
    ours, other = read_plan(path), read_plan(THIN)
    assert (ours.stages, ours.schemes, ours.modalities) == (other.stages, other.schemes, other.modalities)
    assert ours.intensities == {0: {"mean": 3.5, "sd": 2.0}}
    assert ours.axes == "zyx"
    assert NNUNet(path, stage=1).in_channels == 2


def test_a_pickle_that_runs_something_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    path = pickled(tmp_path / "plans.pkl", {**upstream_pickle(), "more": Evil()})
    with pytest.raises(CheckpointError, match=r"plans.pkl is refused: it names pathlib"):
        NNUNet(path, stage=0)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plans_per_stage": None}, "is no plan, since it has no 'plans_per_stage'"),
        ({"plans_per_stage": {}}, "plans_per_stage is empty"),
        ({"plans_per_stage": {"first": {}}}, "expected entries by number"),
        ({"num_classes": 0}, "num_classes must be an integer of at least 1"),
        ({"base_num_features": "32"}, "base_num_features must be an integer"),
        ({"conv_per_stage": 1}, "conv_per_stage must be an integer of at least 2"),
        ({"transpose_forward": [0, 0, 1]}, "transpose_forward must hold 0, 1 and 2"),
        ({"patch_size": [4, 8, 12, 1]}, "patch_size .* has 4 axes"),
        ({"patch_size": None}, "patch_size: expected"),
        ({"pool_op_kernel_sizes": [[1, 2]]}, "pool_op_kernel_sizes: expected 3 whole numbers"),
        ({"conv_kernel_sizes": [[3, 3, 3]]}, "2 pool_op_kernel_sizes need one more"),
        ({"conv_kernel_sizes": [[2, 3, 3]] * 3}, "even number"),
        ({"current_spacing": [1, 0, 1]}, "current_spacing"),
    ],
)
def test_what_is_wrong_in_a_plan_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = json.loads(Path(THIN).read_text())
    (content if set(change) & set(content) else content["plans_per_stage"]["0"]).update(change)
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=message):
        read_plan(tmp_path / "plan.json")


def test_old_plans_name_the_number_of_poolings_only(tmp_path: Path) -> None:
    content = json.loads(Path(THIN).read_text())
    for key in ("pool_op_kernel_sizes", "conv_kernel_sizes"):
        del content["plans_per_stage"]["0"][key]
    (tmp_path / "plan.json").write_text(json.dumps(content))
    stage = read_plan(tmp_path / "plan.json").stage(0)
    assert stage.pools == ((1, 2, 2), (2, 2, 2))
    assert stage.kernels == ((3, 3, 3),) * 3


def test_where_a_plan_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert plan_file("configs/nnunet/msd_lung/plans_3D.json") == LUNG / "plans_3D.json"
    assert plan_file("configs/nnunet/msd_lung/plans_3D.pkl") == LUNG / "plans_3D.json"
    (tmp_path / "broken.pkl").write_bytes(b"no pickle")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    for name, message in (("broken.pkl", "cannot be read as a plan"), ("list.pkl", "holds a list, not a plan")):
        with pytest.raises(ConfigError, match=message):
            read_plan(name)
