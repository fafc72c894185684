"""Keys of issue-sized runs: time, intervals, postprocessing, levels; and what the flags make of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from medicalseg.cvlibs import Config
from medicalseg.errors import ConfigError

BASE = """
train_dataset:
  type: {dataset}
  dataset_root: somewhere
{arguments}
data_root: nowhere
batch_size: 1
"""


def config(folder: Path, more: str, dataset: str = "DecathlonDataset", arguments: str = "") -> Config:
    path = folder / "run.yml"
    path.write_text(BASE.format(dataset=dataset, arguments=arguments) + more)
    return Config(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_time: 30", r"run.yml:\d+: max_time: '30' is not a duration such as 90s"),
        ("val_interval: 0", "val_interval: 0: expected a number of iterations"),
        ("pseudo_interval: 200%", "pseudo_interval: '200%': expected"),
        ("save_interval: true", "save_interval: True: expected"),
        ("postprocessing: FillHoles", "postprocessing: must be a list of steps"),
        ("postprocessing: [FillHoles]", r"postprocessing\[0\]: must be a mapping with 'type'"),
        ("postprocessing: [{type: FillHole}]", r"postprocessing\[0\].type: .*did you mean 'FillHoles'"),
        ("postprocessing: [{type: FillHoles, clases: [1]}]", r"postprocessing\[0\].clases: unknown argument"),
        ("test_config: {mirror: always}", "test_config.mirror: must be one of none, task, got 'always'"),
        ("test_config: {pseudo_patches: 0}", "test_config.pseudo_patches: must be a whole number above 0"),
        ("test_config: {level_order: [1, 1]}", "test_config.level_order: names a class id twice"),
        ("test_config: {level_order: [[1, 2], []]}", "test_config.level_order: must be a list of class ids"),
        ("test_config: {calibration: 1}", "test_config.calibration: must be true or false"),
    ],
)
def test_wrong_values(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, text)


def test_right_values(tmp_path):
    made = config(
        tmp_path,
        "max_time: 1h30m\nval_interval: 10%\npseudo_interval: 50\n"
        "test_config: {mirror: task, level_order: [[1, 2], [3, 4]], pseudo_patches: 8, calibration: true}\n",
    )
    assert made.max_time == 5400
    assert made.iters == 10_000


def test_postprocessing_is_handed_on_as_it_stands(tmp_path):
    """Steps are checked, but neither built nor swallowed."""
    from medicalseg.cvlibs import effective

    made = config(tmp_path, "postprocessing: [{type: FillHoles, classes: [1]}]")
    block, _ = effective.dataset(made.dic, "train_dataset")
    assert block["postprocessing"] == [{"type": "FillHoles", "classes": [1]}]
    with pytest.raises(ConfigError, match="postprocessing: MedicalDataset has no postprocessing; leave the key out"):
        config(tmp_path, "postprocessing: [{type: FillHoles}]", "MedicalDataset", "  num_classes: 2\n  transforms: []")


def test_flags(tmp_path):
    config(tmp_path, "optimizer: {type: AdamW}\nmax_time: 5m")
    made = Config(tmp_path / "run.yml", max_time="90s", grad_clip=2.5, fold=3)
    assert made.max_time == 90
    assert made.dic["optimizer"]["grad_clip_cfg"] == {"name": "ClipGradByGlobalNorm", "clip_norm": 2.5}
    assert made.dic["train_dataset"]["fold"] == 3
    assert str(made.source("train_dataset", "fold")) == "--folds"
