"""What a block of the file means once upstream's rules are applied: joined paths, injected defaults, dropped keys.

Pure functions from plain mappings to plain mappings; nothing is built here.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.components import accepts, find, parameters
from medicalseg.cvlibs.tree import KeyPath, KeyPathError, format_path, kind_of

HANDED_TO_DATASETS = ("class_groups", "postprocessing")
DATASET_KEYS = ("train_dataset", "val_dataset", "test_dataset")
IGNORED_BY_LOSSES = ("ignore_index", "ignore_label")

MEANINGLESS_TOP_LEVEL = {
    "pdx_model_name": "used by PaddleX only",
    "uniform_output_enabled": "used by PaddleX only",
    "print_mem_info": "used by PaddleX only",
    "log_ranks": "used by PaddleX only; rank 0 logs",
}
MEANINGLESS_TEST = {
    **dict.fromkeys(
        ("aug_eval", "scales", "flip_horizontal", "flip_vertical"), "there is no test-time augmentation in this version"
    ),
    "use_multilabel": "structures that overlap are a matter of the datasets (head: sigmoid)",
}
MEANINGLESS_DATASET = {
    "result_dir": "nothing is ever written there",
    "data_URL": "datasets are prepared by `medicalseg prepare`, not downloaded while training",
    "dataset_json_path": "the case list lies beside the arrays",
    "anno_path": "the list files go by the mode",
    "shuffle": "training data are always shuffled, evaluation data never",
}
_MEANINGLESS_MODEL = {
    "use_deconv": "of an early UNet3D; the up-convolution is the published one",
}
_MEANINGLESS_LOSS = {"data_format": "logits are always (N, C, X, Y, Z)"}


class Caution(str):
    """A note that the log gives as a warning."""


def dataset(plain: Mapping[str, Any], key: str) -> tuple[dict[str, Any], list[str]]:
    """A dataset block ready to build, and notes about keys that mean nothing here.

    `dataset_root` and `result_dir` get `data_root` in front, `mode` follows the block's name when it is absent,
    `transforms: null` is an empty list, `class_groups` and `postprocessing` of the file are the dataset's. A class may
    say by `without_effect` which of the arguments change nothing, see `MedicalDataset`.
    """
    path: KeyPath = (key,)
    block = _block(plain, key)
    component = find(block, path, manager.DATASETS)
    block, notes = _without_meaningless(block, component, MEANINGLESS_DATASET, path)
    notes += _without_effect(block, component, path)
    notes += _with_fixed_classes(block, component, plain, key)
    for folder in ("dataset_root", "result_dir"):
        if block.get(folder) is not None:
            block[folder] = _joined(plain, block[folder], (key, folder))
    if "transforms" in block and block["transforms"] is None:
        block["transforms"] = []
    if accepts(component, "mode"):
        block.setdefault("mode", key.removesuffix("_dataset"))
    for shared in HANDED_TO_DATASETS:
        if plain.get(shared) is not None and accepts(component, shared):
            block.setdefault(shared, copy.deepcopy(plain[shared]))
    return block, notes


def model(plain: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The model block ready to build; `num_classes` comes from the datasets when it is absent and they tell it."""
    block = _block(plain, "model")
    component = find(block, ("model",), manager.MODELS)
    block, notes = _without_meaningless(block, component, _MEANINGLESS_MODEL, ("model",))
    if "num_classes" not in block and accepts(component, "num_classes"):
        classes = next((count for _, count in dataset_classes(plain)), None)
        if classes is not None:
            block["num_classes"] = classes
    return block, notes


def loss(plain: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The loss block with one type per coefficient; the dataset's `ignore_index` goes to every loss that takes it.

    Under the name that the loss has for it, `ignore_index` or PaddleSeg3D's `ignore_label`.
    """
    block = _block(plain, "loss")
    types, coefficients = block["types"], block["coef"]
    if len(types) == 1:
        types = [copy.deepcopy(types[0]) for _ in coefficients]
    ignored = ignore_index(plain)
    notes: list[str] = []
    for position, item in enumerate(types):
        written = position if position < len(block["types"]) else 0
        notes += _prepare_loss(item, ("loss", "types", written), ignored)
    return {"types": types, "coef": coefficients}, list(dict.fromkeys(notes))


def _prepare_loss(block: Any, path: KeyPath, ignored: tuple[str, int] | None) -> list[str]:
    component = find(block, path, manager.LOSSES)
    cleaned, notes = _without_meaningless(block, component, _MEANINGLESS_LOSS, path)
    block.clear()
    block.update(cleaned)
    argument = next((name for name in IGNORED_BY_LOSSES if accepts(component, name)), None)
    if ignored is not None and argument is not None:
        where, value = ignored
        if block.setdefault(argument, value) != value:
            raise KeyPathError(
                (*path, argument), f"{block[argument]} differs from {where}: {value}; give both one value"
            )
    for child_path, child in loss_children(block, path):
        notes += _prepare_loss(child, child_path, ignored)
    return notes


def loss_children(block: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """The losses inside a loss such as `MixedLoss`."""
    children = block.get("losses")
    if isinstance(children, list):
        for position, child in enumerate(children):
            yield (*path, "losses", position), child


def ignore_index(plain: Mapping[str, Any]) -> tuple[str, int] | None:
    """The label value that the training (else validation) data say to ignore, and the key that says so."""
    for key in DATASET_KEYS:
        value = dataset_argument(plain, key, "ignore_index")
        if isinstance(value, int):
            return f"{key}.ignore_index", value
    return None


def dataset_classes(plain: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Class counts of the datasets that tell theirs without being built: (key path, count)."""
    found = []
    for key in DATASET_KEYS:
        value = _fixed_classes(plain, key) or dataset_argument(plain, key, "num_classes", attribute="NUM_CLASSES")
        if isinstance(value, int) and not isinstance(value, bool):
            found.append((f"{key}.num_classes", value))
    return found


def _fixed_classes(plain: Mapping[str, Any], key: str) -> int | None:
    """The class count in place of the one that a block for evaluation has written, where that cannot be meant.

    So it is if the dataset's class fixes its number of classes, and model and training data have that number.
    PaddleSeg3D does not read the count of these blocks, and has a file where it is wrong.
    """
    train, model = plain.get("train_dataset"), plain.get("model")
    block = plain.get(key)
    if key == "train_dataset" or train is None or not isinstance(block, Mapping) or "num_classes" not in block:
        return None
    fixed = getattr(find(block, (key,), manager.DATASETS), "NUM_CLASSES", None)
    trained = dataset_argument(plain, "train_dataset", "num_classes", attribute="NUM_CLASSES")
    asked = model.get("num_classes") if isinstance(model, Mapping) else None
    return fixed if fixed is not None and trained == fixed and asked in (None, fixed) else None


def _with_fixed_classes(
    block: dict[str, Any], component: Callable[..., Any], plain: Mapping[str, Any], key: str
) -> list[str]:
    fixed, written = _fixed_classes(plain, key), block.get("num_classes")
    if fixed is None or written == fixed or not isinstance(written, int):
        return []
    block["num_classes"] = fixed
    return [
        Caution(
            f"{key}.num_classes is ignored: {written} differs from the {fixed} of {component.__name__}, which model "
            "and training data have too; correct it, or leave it out"
        )
    ]


def head(plain: Mapping[str, Any]) -> str:
    """The head that the datasets are for, "softmax" if none says another."""
    heads = (dataset_argument(plain, key, "head") for key in DATASET_KEYS)
    return next((value for value in heads if isinstance(value, str)), "softmax")


def dataset_argument(plain: Mapping[str, Any], key: str, name: str, attribute: str | None = None) -> Any:
    """An argument of a dataset block; if it is not written the class's `attribute`, else the argument's default.

    None if there is no block, or no such argument.
    """
    block = plain.get(key)
    if not isinstance(block, Mapping) or "type" not in block:
        return None
    if block.get(name) is not None:
        return block[name]
    component = find(block, (key,), manager.DATASETS)
    if attribute is not None and getattr(component, attribute, None) is not None:
        return getattr(component, attribute)
    parameter = parameters(component)[0].get(name)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def lr_scheduler(plain: Mapping[str, Any]) -> tuple[dict[str, Any], KeyPath]:
    """The `lr_scheduler` block, or the old `learning_rate` in its form, and the key it was written under."""
    if plain.get("lr_scheduler") is not None:
        return _block(plain, "lr_scheduler"), ("lr_scheduler",)
    old = plain.get("learning_rate")
    if old is None:
        raise KeyPathError((), "has neither 'lr_scheduler' nor the old 'learning_rate'")
    path: KeyPath = ("learning_rate",)
    if not isinstance(old, Mapping):
        return {"type": "Constant", "learning_rate": old}, path
    if "value" not in old:
        raise KeyPathError(path, f"the old form needs 'value'; it has: {', '.join(map(str, old)) or 'nothing'}")
    for key in old:
        if key not in ("value", "decay"):
            raise KeyPathError((*path, key), "unknown key; allowed: value, decay")
    return _old_decay(old, path), path


def _old_decay(old: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
    decay = copy.deepcopy(old.get("decay") or {"type": "poly", "power": 0.9})
    if not isinstance(decay, dict):
        raise KeyPathError((*path, "decay"), f"expected a mapping with 'type', got {kind_of(decay)}")
    kind = decay.pop("type", None)
    if kind == "poly":
        return {"type": "PolynomialDecay", "learning_rate": old["value"], **decay}
    if kind == "piecewise":
        return {"type": "PiecewiseDecay", "values": old["value"], **decay}
    if kind == "stepdecay":
        return {"type": "StepDecay", "learning_rate": old["value"], **decay}
    raise KeyPathError((*path, "decay", "type"), f"'{kind}' is unknown; allowed: poly, piecewise, stepdecay")


def _joined(plain: Mapping[str, Any], folder: Any, path: KeyPath) -> str:
    if not isinstance(folder, str):
        raise KeyPathError(path, f"expected a folder name, got {kind_of(folder)}: {folder!r}")
    root = plain.get("data_root")
    if root is None and not os.path.isabs(folder):
        raise KeyPathError(
            ("data_root",),
            f"is needed, because {format_path(path)} is relative: give the folder that holds '{folder}', in the file, "
            "by --opts data_root=FOLDER or by the environment variable MEDICALSEG_DATA_ROOT",
        )
    return os.path.join(root or "", folder)


def _without_meaningless(
    block: Mapping[str, Any], component: Callable[..., Any], meaningless: Mapping[str, str], path: KeyPath
) -> tuple[dict[str, Any], list[str]]:
    named, takes_any = parameters(component)
    kept, notes = {}, []
    for key, value in block.items():
        if key in meaningless and key not in named and not takes_any:
            notes.append(f"{format_path((*path, key))} is ignored: {meaningless[key]}")
        else:
            kept[key] = value
    return kept, notes


def _without_effect(block: dict[str, Any], component: Callable[..., Any], path: KeyPath) -> list[str]:
    """Take the arguments out of the block that the class takes without any use for them."""
    tell = getattr(component, "without_effect", None)
    notes = []
    for key, why in (tell(block) if tell is not None else {}).items():
        del block[key]
        notes.append(type(why)(f"{format_path((*path, key))} is ignored: {why}"))
    return notes


def _block(plain: Mapping[str, Any], key: str) -> dict[str, Any]:
    block = plain.get(key)
    if block is None:
        raise KeyPathError((), f"has no '{key}'")
    if not isinstance(block, Mapping):
        raise KeyPathError((key,), f"expected a mapping with 'type', got {kind_of(block)}: {block!r}")
    return copy.deepcopy(dict(block))
