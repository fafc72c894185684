"""Whatever is wrong is told before anything is built: file, line, key path, what is allowed."""

from __future__ import annotations

import pytest

from medicalseg.cvlibs import Config
from medicalseg.errors import ConfigError
from tests.cvlibs.conftest import ToyData

WRONG = [
    (["modle={type: ToyNet}"], r"modle: unknown key; allowed: .*did you mean 'model'"),
    (["iters=1.5"], r"iters: must be a whole number above 0, got a number: 1\.5"),
    (["iters=True"], "iters: must be a whole number above 0"),
    (["iters='15000'"], "iters: must be a whole number above 0, got a text: '15000'"),
    (["batch_size=-1"], "batch_size: must be a whole number above 0"),
    (["data_root=3"], "data_root: must be a text"),
    (["data_root=None"], r"data_root: is needed, because train_dataset\.dataset_root is relative"),
    (["model=VNet"], "model: must be a mapping, got a text"),
    (["model.type=ToyNut"], r"model\.type: 'ToyNut' is not among the models: .*ToyNet.*did you mean 'ToyNet'"),
    (["model.with=3"], r"model\.with: unknown argument of ToyNet; allowed: num_classes, width, backbone; did you mean"),
    (["model.num_classes=3"], r"train_dataset\.num_classes: 4 differs from model\.num_classes, 3"),
    (["model.num_classes=0"], r"model\.num_classes: must be a whole number above 0"),
    (["val_dataset.num_classes=5"], r"val_dataset\.num_classes: 5 differs from train_dataset\.num_classes, 4"),
    (["model.backbone={type: Nothing}"], r"model\.backbone\.type: 'Nothing' is not among the backbones"),
    (["train_dataset.type=ToyDate"], r"train_dataset\.type: 'ToyDate' is not among the datasets: .*'ToyData'"),
    (["train_dataset.dataset_root=[1]"], r"train_dataset\.dataset_root: expected a folder name, got a list"),
    (["train_dataset.repeat=3"], r"train_dataset\.repeat: unknown argument of ToyData; allowed: dataset_root"),
    (["train_dataset.transforms[1].porb=1"], r"train_dataset\.transforms\[1\]\.porb: unknown .*did you mean 'prob'"),
    (["train_dataset.transforms=[{degrees: 3}]"], r"train_dataset\.transforms\[0\]: has no 'type'; it has: degrees"),
    (["loss.types=[]"], r"loss\.types: must be a list that is not empty"),
    (["loss.typs=[]"], r"loss\.typs: unknown key; allowed: types, coef"),
    (["loss.coef=1"], r"loss\.coef: must be a list that is not empty, got a whole number"),
    (["loss.coef=[a]"], r"loss\.coef\[0\]: must be a number"),
    (["loss={types: [{type: ToyDice}, {type: ToyDice}], coef: [1, 1, 1]}"], "loss: has 2 types and 3 coef"),
    (["loss.types[0].coef=[1]"], r"loss\.types\[0\]: has 2 losses and 1 coef"),
    (["loss.types[0].losses[0].weight=[1, 2]"], r"loss\.types\[0\]\.losses\[0\]\.weight: has 2 values for 4 classes"),
    (
        ["loss.types[0].losses[0].ignore_index=0"],
        r"losses\[0\]\.ignore_index: 0 differs from train_dataset\.ignore_index",
    ),
    (["loss.types[0].losses[1].ignore_index=255"], r"losses\[1\]\.ignore_index: unknown argument of ToyDice"),
    (["loss.types[0].type=ToyFlip"], r"loss\.types\[0\]\.type: 'ToyFlip' is one of the transforms, not of the losses"),
    (["optimizer.type=sdg"], r"optimizer\.type: 'sdg' is not among the optimizers: .*SGD"),
    (["optimizer.momentun=1"], r"optimizer\.momentun: unknown argument of Momentum; .*did you mean 'momentum'"),
    (["optimizer.grad_clip_cfg={name: Clip}"], r"optimizer: Momentum: grad_clip_cfg\.name: 'Clip' is unknown; allowed"),
    (["optimizer.grad_clip_cfg={name: ClipGradByNorm, clip: 1}"], r"optimizer\.grad_clip_cfg\.clip: unknown argument"),
    (["optimizer.custom_cfg=[{lr_mult: 1}]"], r"optimizer\.custom_cfg\[0\]: needs 'name'"),
    (["optimizer.custom_cfg=[{name: a, lr: 1}]"], r"optimizer\.custom_cfg\[0\]\.lr: unknown key"),
    (["lr_scheduler.type=Polynomial"], r"lr_scheduler\.type: 'Polynomial' is not a schedule; .*PolynomialDecay"),
    (["lr_scheduler={type: ReduceOnPlateau}"], "lr_scheduler: ReduceOnPlateau needs learning_rate"),
    (["lr_scheduler={type: ReduceOnPlateau, learning_rate: 0.1, metric: loss}"], "metric: expected one of val_loss"),
    (["lr_scheduler={type: ReduceOnPlateau, learning_rate: 0.1, patience: 1.5}"], "patience: expected a whole number"),
    (
        ["lr_scheduler={type: ReduceOnPlateau, learning_rate: 0.1, factor: 2}"],
        "factor: expected a number between 0 and 1",
    ),
    (["iters=3", "epochs=3"], "epochs: stands beside iters; give one of them"),
    (["epochs=0"], "epochs: must be a whole number above 0"),
    (["test_config={best: iou}"], r"test_config\.best: must be one of dice, loss"),
    (["lr_scheduler.type=LambdaDecay"], "needs a Python function"),
    (["lr_scheduler.learning_rate='0.1'"], r"lr_scheduler\.learning_rate: must be a number not below 0, got a text"),
    (["lr_scheduler.learning_rate=-1"], r"lr_scheduler\.learning_rate: must be a number not below 0"),
    (["lr_scheduler.powr=1"], r"lr_scheduler\.powr: unknown argument of PolynomialDecay; .*did you mean 'power'"),
    (["lr_scheduler.warmup_iters=-1"], r"lr_scheduler\.warmup_iters: must be a whole number not below 0"),
    (["lr_scheduler.warmup_start_lr=0"], r"needs 'warmup_iters' beside it"),
    (["ema={decay: 2}"], r"ema\.decay: must lie between 0 and 1"),
    (["ema={deacy: 0.9}"], r"ema\.deacy: unknown key; allowed: decay; did you mean 'decay'"),
    (["use_ema=1"], "use_ema: must be true or false"),
    (["early_stop={}"], "early_stop: needs 'intervals'"),
    (["early_stop={intervals: 0}"], r"early_stop\.intervals: must be a whole number above 0"),
    (["class_groups={a: [0, 4]}"], r"class_groups\.a: names class 4, the classes are 0 to 3"),
    (["class_groups={a: [0, 0]}"], r"class_groups\.a: names a class id twice"),
    (["class_groups={a: 3}"], r"class_groups\.a: must be a list of class ids"),
    (["to_static_training='False'"], "to_static_training: must be true or false, got a text"),
    (["test_config={is_side: True}"], r"test_config\.is_side: unknown key; .*did you mean 'is_slide'"),
    (["test_config={crop_size: [8]}"], r"test_config\.crop_size: must be a list of three .* or of two"),
    (["test_config={stride: [8, 8, 0]}"], r"test_config\.stride\[2\]: must be a whole number above 0"),
    (["test_config={eval_space: voxels}"], r"test_config\.eval_space: must be one of original, network"),
    (["test_config={overlays: 4}"], r"test_config\.overlays: must be a whole number from 0 to 3"),
    (["test_config={save_predictions: -1}"], r"test_config\.save_predictions: .* not below 0"),
    (["test_config={is_slide: 1}"], r"test_config\.is_slide: must be true or false"),
    (["export={transforms: [{type: ToyRotation}]}"], r"export\.transforms\[0\]: ToyRotation needs degrees"),
    (["export={inference_helper: {type: Nobody}}"], r"export\.inference_helper\.type: 'Nobody' is not among"),
]


@pytest.mark.parametrize(("opts", "message"), WRONG, ids=[item[0][0] for item in WRONG])
def test_wrong_value_by_override(write, run, opts, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Config(write(run), opts=opts)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("--opts ") or "run.yml" in str(caught.value)
    assert ToyData.built == 0


def test_file_and_line_are_those_of_the_base(write):
    write(
        "train_dataset:\n  type: ToyData\n  dataset_root: /x\n  transforms:\n  - type: ToyRotation\n    degres: 3\n",
        "b.yml",
    )
    child = write("_base_: b.yml\niters: 3\n")
    with pytest.raises(ConfigError, match=r"b\.yml:6: train_dataset\.transforms\[0\]\.degres: unknown argument"):
        Config(child)


def test_missing_argument_points_at_the_block(write):
    path = write("iters: 3\ntrain_dataset:\n  type: ToyData\n  transforms: []\n")
    with pytest.raises(
        ConfigError, match=r"run\.yml:\d: train_dataset: ToyData needs dataset_root; allowed: dataset_root"
    ):
        Config(path)


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ({"decay": {"type": "poly"}}, "learning_rate: the old form needs 'value'; it has: decay"),
        ({"value": 1, "power": 1}, r"learning_rate\.power: unknown key; allowed: value, decay"),
        ({"value": 1, "decay": {"type": "cosine"}}, r"learning_rate\.decay\.type: 'cosine' is unknown; allowed: poly"),
        ({"value": 1, "decay": "poly"}, r"learning_rate\.decay: expected a mapping"),
        ("fast", "learning_rate: must be a number, got a text"),
    ],
)
def test_old_learning_rate(write, run, old, message):
    del run["lr_scheduler"]
    run["learning_rate"] = old
    with pytest.raises(ConfigError, match=message):
        Config(write(run))


def test_both_learning_rates_are_noted(write, run):
    run["learning_rate"] = 0.3
    assert "learning_rate is ignored: lr_scheduler is given" in Config(write(run)).notes


@pytest.mark.parametrize(
    ("own", "flags", "warmup"),
    [
        (1000, {"iters": 200}, 20),
        (1000, {"iters": 5}, 1),
        (1000, {"opts": ["iters=200"]}, 20),
        (1000, {"iters": 200, "opts": ["lr_scheduler.warmup_iters=50"]}, 50),
        (1000, {}, 50),
        (1000, {"iters": 600}, 50),
        (300, {}, 50),
        (40, {}, 4),
        (1000, {"iters": 200, "max_time": "1m"}, 20),
    ],
)
def test_a_short_training_has_a_short_warmup(write, run, caplog, own, flags, warmup):
    del run["lr_scheduler"]["decay_steps"]
    caplog.set_level("INFO", logger="medicalseg")
    run["iters"] = own
    run["lr_scheduler"].update(warmup_iters=50, warmup_start_lr=1e-5)
    config = Config(write(run), **flags)
    schedule = config.lr_scheduler
    assert schedule() == pytest.approx(1e-5)
    assert schedule.warmup_steps == warmup
    assert schedule.learning_rate.decay_steps == config.iters - warmup
    assert ("Warm-up:" in caplog.text) == (warmup != 50)
    assert config.dic["lr_scheduler"]["warmup_iters"] == 50
