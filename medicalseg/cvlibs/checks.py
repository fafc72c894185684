"""Everything that can be found wrong in a configuration before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medicalseg.cvlibs import effective, manager
from medicalseg.cvlibs.components import accepts, call, check, check_arguments, find, parameters
from medicalseg.cvlibs.schema import check_top_level, kind_of
from medicalseg.cvlibs.tree import KeyPath, KeyPathError
from medicalseg.errors import ConfigError

OWN_LOSS = "; a file with a _base_ replaces its losses by loss: {_inherited_: False, types: ...}"


def check_all(plain: Mapping[str, Any]) -> list[str]:
    """Check a merged configuration; returns notes worth logging.

    Blocks that are absent are not missed: each verb asks for what it needs.

    Raises:
        KeyPathError: at the first thing that is wrong.
    """
    notes = check_top_level(plain)
    of_data: list[str] = []
    for key in effective.DATASET_KEYS:
        if plain.get(key) is not None:
            block, found = effective.dataset(plain, key)
            check(block, (key,), manager.DATASETS)
            _check_preprocess(block, (key, "preprocess"))
            of_data += found
    notes += _each_once(of_data)
    if plain.get("model") is not None:
        block, found = effective.model(plain)
        _check_model(block)
        notes += found
    classes = check_classes(plain)
    _check_length(plain)
    _check_folds(plain)
    _check_views(plain)
    if plain.get("loss") is not None:
        notes += _check_loss(plain, classes)
    _check_groups(plain, classes)
    notes += _check_schedule(plain)
    if plain.get("optimizer") is not None:
        _check_optimizer(plain["optimizer"])
    if plain.get("export") is not None:
        _check_export(plain["export"])
    _check_postprocessing(plain)
    return notes


def _each_once(notes: list[str]) -> list[str]:
    """The notes of the datasets; what is said of several blocks is said of the first, and the others are named."""
    blocks: dict[str, list[str]] = {}
    kinds: dict[str, type[str]] = {}
    for note in notes:
        block, _, text = note.partition(".")
        blocks.setdefault(text, []).append(block)
        kinds[text] = type(note)
    ends = {text: f" (also in {', '.join(others)})" if others else "" for text, (_, *others) in blocks.items()}
    return [kinds[text](f"{block}.{text}{ends[text]}") for text, (block, *_) in blocks.items()]


def _check_folds(plain: Mapping[str, Any]) -> None:
    """Training and validation cut the same cases into the same folds; else cases would be trained on and scored."""
    train, held = (plain.get(key) for key in ("train_dataset", "val_dataset"))
    if train is None or held is None or train.get("dataset_root") != held.get("dataset_root"):
        return
    for name in ("num_folds", "split_seed"):
        one, other = (effective.dataset_argument(plain, key, name) for key in ("train_dataset", "val_dataset"))
        if None not in (one, other) and one != other:
            where = "val_dataset" if held.get(name) is not None else "train_dataset"
            flag = " (--num_folds N sets both)" if name == "num_folds" else ""
            raise KeyPathError(
                (where, name),
                f"train_dataset has {one} and val_dataset {other}, so that their folds are not the same; "
                f"give both the same{flag}",
            )


def _check_postprocessing(plain: Mapping[str, Any]) -> None:
    """Every step exists and fits, and a dataset carries the steps to the task."""
    steps = plain.get("postprocessing") or ()
    for position, step in enumerate(steps):
        check(step, ("postprocessing", position), manager.POSTPROCESSING)
    blocks = [key for key in effective.DATASET_KEYS if plain.get(key) is not None]
    components = [find(plain[key], (key,), manager.DATASETS) for key in blocks]
    if steps and blocks and not any(accepts(component, "postprocessing") for component in components):
        raise KeyPathError(("postprocessing",), f"{plain[blocks[0]]['type']} has no postprocessing; leave the key out")


def _check_preprocess(block: Mapping[str, Any], path: KeyPath) -> None:
    value = block.get("preprocess")
    if not isinstance(value, Mapping):
        return
    from medicalseg.inference.preprocess import Preprocessing

    try:
        Preprocessing.from_dict(value)
    except ConfigError as error:
        raise KeyPathError(path, str(error)) from error


def check_classes(plain: Mapping[str, Any]) -> int | None:
    """The class count that model and datasets agree on, or None if none tells it.

    Raises:
        KeyPathError: if two of them disagree.
    """
    counts: list[tuple[str, int]] = []
    written = plain.get("model")
    if isinstance(written, Mapping) and written.get("num_classes") is not None:
        value = written["num_classes"]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise KeyPathError(("model", "num_classes"), f"must be a whole number above 0, got {value!r}")
        counts.append(("model.num_classes", value))
    counts += effective.dataset_classes(plain)
    for where, count in counts[1:]:
        if count != counts[0][1]:
            raise KeyPathError(
                (where.partition(".")[0], "num_classes"),
                f"{count} differs from {counts[0][0]}, {counts[0][1]}; all parts of a run have one class count",
            )
    return counts[0][1] if counts else None


def _check_model(block: dict[str, Any]) -> None:
    component = find(block, ("model",), manager.MODELS)
    if "num_classes" not in block and accepts(component, "num_classes"):
        block = {**block, "num_classes": None}
    check(block, ("model",), manager.MODELS)


def _check_loss(plain: Mapping[str, Any], classes: int | None) -> list[str]:
    for position, item in enumerate(plain["loss"]["types"]):
        _check_raw_loss(item, ("loss", "types", position), classes, effective.head(plain))
    block, notes = effective.loss(plain)
    for position, item in enumerate(block["types"]):
        written = position if position < len(plain["loss"]["types"]) else 0
        check(item, ("loss", "types", written), manager.LOSSES)
    return notes


def _check_raw_loss(block: Any, path: KeyPath, classes: int | None, head: str) -> None:
    component = find(block, path, manager.LOSSES)
    if head == "sigmoid":
        _check_sigmoid_loss(block, component, path)
    weight = block.get("weight")
    if isinstance(weight, list) and classes is not None and len(weight) != classes:
        raise KeyPathError((*path, "weight"), f"has {len(weight)} values for {classes} classes")
    inner = block.get("losses")
    coefficients = block.get("coef")
    if isinstance(inner, list) and isinstance(coefficients, list) and len(inner) != len(coefficients):
        raise KeyPathError(path, f"has {len(inner)} losses and {len(coefficients)} coef")
    for child_path, child in effective.loss_children(block, path):
        _check_raw_loss(child, child_path, classes, head)


def _check_sigmoid_loss(block: Mapping[str, Any], component: Any, path: KeyPath) -> None:
    """Refuse what is of a softmax: the labels are masks."""
    refusal = getattr(component, "refusal", None)
    if refusal is None:
        return
    parameter = parameters(component)[0].get("sigmoid_norm")
    norm = block.get("sigmoid_norm", True if parameter is None else parameter.default)
    reason = refusal(bool(norm))
    if reason:
        raise KeyPathError((*path, "type"), f"{block['type']} does not go with head: sigmoid: {reason}{OWN_LOSS}")


def _check_groups(plain: Mapping[str, Any], classes: int | None) -> None:
    if classes is None:
        return
    last = classes if effective.head(plain) == "sigmoid" else classes - 1
    for name, ids in (plain.get("class_groups") or {}).items():
        beyond = [item for item in ids if item > last]
        if beyond:
            raise KeyPathError(("class_groups", str(name)), f"names class {beyond[0]}, the classes are 0 to {last}")


def _check_length(plain: Mapping[str, Any]) -> None:
    if plain.get("iters") is not None and plain.get("epochs") is not None:
        raise KeyPathError(
            ("epochs",), "stands beside iters; give one of them, and null to the other if it is inherited"
        )


def _check_views(plain: Mapping[str, Any]) -> None:
    """All datasets have to give a network the same: volumes or slices, with class ids or masks."""
    for key, count in effective.dataset_classes(plain):
        block = key.partition(".")[0]
        if count == 1 and _view(plain, block, "head") == "softmax":
            raise KeyPathError(
                (block, "num_classes"),
                "is 1: a softmax of one class is always 1; a single structure needs head: sigmoid",
            )
    first: dict[str, tuple[str, Any]] = {}
    for key in effective.DATASET_KEYS:
        if plain.get(key) is None:
            continue
        for name in ("head", "slices"):
            value = _view(plain, key, name)
            where, other = first.setdefault(name, (key, value))
            if value != other:
                raise KeyPathError(
                    (key, name) if name in plain[key] else (key,),
                    f"{name} is {_shown(value)}, but {where}.{name} is {_shown(other)}; all datasets need the same",
                )


def _view(plain: Mapping[str, Any], key: str, name: str) -> Any:
    value = effective.dataset_argument(plain, key, name)
    if name == "head":
        return value or "softmax"
    if not isinstance(value, Mapping):
        return value
    from medicalseg.inference.slices import SliceSpec

    try:
        spec = SliceSpec.from_dict(value)
    except ConfigError as error:
        raise KeyPathError((key, name), str(error)) from error
    return None if spec is None else spec.to_dict()


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)


def _check_schedule(plain: Mapping[str, Any]) -> list[str]:
    if plain.get("lr_scheduler") is None and plain.get("learning_rate") is None:
        return []
    from medicalseg.optimizers import check_scheduler

    block, path = effective.lr_scheduler(plain)
    iters = plain.get("iters")
    check_scheduler(block, iters, path)
    notes = []
    if plain.get("lr_scheduler") is not None and plain.get("learning_rate") is not None:
        notes.append("learning_rate is ignored: lr_scheduler is given")
    warmup = block.get("warmup_iters", 0)
    if warmup and iters is not None and warmup >= iters:
        return notes
    steps, expected = block.get("decay_steps"), None if iters is None else iters - warmup
    if isinstance(steps, int) and expected is not None and steps not in (iters, expected):
        notes.append(f"lr_scheduler.decay_steps is {steps}, but the training takes {expected} steps after the warm-up")
    return notes


def _check_optimizer(block: Any) -> None:
    from medicalseg.optimizers import optimizer_name

    path: KeyPath = ("optimizer",)
    arguments = {key: value for key, value in block.items() if key != "type"}
    named = {**block, "type": optimizer_name(block.get("type"), arguments)} if "type" in block else block
    component = find(named, path, manager.OPTIMIZERS)
    check_arguments(component, arguments, path, title=str(named["type"]))
    call(component, arguments, path, str(named["type"]))


def _check_export(block: Mapping[str, Any]) -> None:
    transforms = block.get("transforms") or []
    if not isinstance(transforms, list):
        raise KeyPathError(("export", "transforms"), f"must be a list, got {kind_of(transforms)}")
    for position, item in enumerate(transforms):
        check(item, ("export", "transforms", position), manager.TRANSFORMS)
    if block.get("inference_helper") is not None:
        check(block["inference_helper"], ("export", "inference_helper"), manager.INFERENCE_HELPERS)
