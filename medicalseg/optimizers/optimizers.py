"""Paddle's optimizers as components: built from the configuration, then called with a model and a schedule.

A registered optimizer is a class whose object, called as `optimizer(model, lr)`, returns a `paddle.optimizer`. Every
optimizer of `paddle.optimizer` is registered under its own name with its own arguments, plus `grad_clip_cfg` and
`custom_cfg`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import paddle

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.components import check_arguments
from medicalseg.cvlibs.tree import KeyPathError, kind_of, nearest
from medicalseg.errors import ConfigError

CLIPS = ("ClipGradByGlobalNorm", "ClipGradByNorm", "ClipGradByValue")
_GIVEN_BY_US = ("learning_rate", "parameters", "grad_clip", "name")
_NOT_OFFERED = ("Optimizer", "LBFGS")


class PaddleOptimizer:
    """An optimizer without its model yet.

    Args:
        grad_clip_cfg: `{name: ClipGradByGlobalNorm, clip_norm: 1.0}`; a gradient clip of `paddle.nn` by name.
        custom_cfg: list of `{name, lr_mult, weight_decay_mult}`; parameters whose name contains `name` get their own
            learning rate and weight decay, as multiples of the general ones. The first match counts.
        **arguments: those of the optimizer itself, for example `momentum` and `weight_decay`.
    """

    factory: ClassVar[type]

    def __init__(
        self,
        grad_clip_cfg: Mapping[str, Any] | None = None,
        custom_cfg: Sequence[Mapping[str, Any]] | None = None,
        **arguments: Any,
    ) -> None:
        self.arguments = {key: _as_float(key, value) for key, value in arguments.items()}
        self.clip = build_clip(grad_clip_cfg) if grad_clip_cfg else None
        self.custom = [_checked_group(item, position) for position, item in enumerate(custom_cfg or ())]

    def __call__(self, model: paddle.nn.Layer, lr: Any) -> paddle.optimizer.Optimizer:
        """The optimizer of a model's trainable parameters.

        Args:
            model: the network.
            lr: a schedule or a number.

        Raises:
            ConfigError: if an item of `custom_cfg` matches no parameter.
        """
        return self.factory(learning_rate=lr, parameters=self._groups(model), grad_clip=self.clip, **self.arguments)

    def _groups(self, model: paddle.nn.Layer) -> list[Any]:
        named = [(name, parameter) for name, parameter in model.named_parameters() if not parameter.stop_gradient]
        if not self.custom:
            return [parameter for _, parameter in named]
        rest: list[Any] = []
        members: list[list[Any]] = [[] for _ in self.custom]
        for name, parameter in named:
            match = next((k for k, group in enumerate(self.custom) if group["name"] in name), None)
            (rest if match is None else members[match]).append(parameter)
        groups = [self._group(group, found, named) for group, found in zip(self.custom, members, strict=True)]
        return ([{"params": rest}] if rest else []) + groups

    def _group(self, group: Mapping[str, Any], found: list[Any], named: list[tuple[str, Any]]) -> dict[str, Any]:
        if not found:
            heads = sorted({name.split(".")[0] for name, _ in named})
            raise ConfigError(
                f"custom_cfg: no trainable parameter's name contains '{group['name']}' (or an earlier item took them); "
                f"names begin with: {', '.join(heads)}{nearest(group['name'], heads)}"
            )
        entry: dict[str, Any] = {"params": found, "learning_rate": float(group.get("lr_mult", 1.0))}
        decay = self.arguments.get("weight_decay", _default_decay(self.factory))
        if decay is not None:
            entry["weight_decay"] = float(decay) * float(group.get("weight_decay_mult", 1.0))
        return entry


def build_clip(config: Mapping[str, Any]) -> Any:
    """A gradient clip from `{name: …, arguments …}`.

    On the CPU gradients within a global norm are left alone rather than multiplied by 1; on a GPU asking would wait.

    Raises:
        ConfigError: if the name or an argument is wrong.
    """
    if not isinstance(config, Mapping) or "name" not in config:
        raise ConfigError(f"grad_clip_cfg must be a mapping with 'name', one of {', '.join(CLIPS)}")
    if config["name"] not in CLIPS:
        raise ConfigError(
            f"grad_clip_cfg.name: '{config['name']}' is unknown; allowed: {', '.join(CLIPS)}"
            f"{nearest(config['name'], CLIPS)}"
        )
    clip = getattr(paddle.nn, config["name"])
    arguments = {key: value for key, value in config.items() if key != "name"}
    check_arguments(clip, arguments, ("optimizer", "grad_clip_cfg"), title=config["name"])
    if config["name"] == "ClipGradByGlobalNorm":
        arguments.setdefault("auto_skip_clip", paddle.get_device() == "cpu")
    return clip(**arguments)


def optimizer_name(name: Any, arguments: Mapping[str, Any] | None = None) -> Any:
    """The registered name behind a configuration's `type`.

    PaddleSeg3D's `sgd` is Momentum with 0.9; `SGD` with a `momentum` is Momentum too; other names go regardless of
    upper and lower case. An unknown name is returned as it is.
    """
    if name == "sgd" or (name == "SGD" and "momentum" in (arguments or {})):
        return "Momentum"
    by_lower_case = {known.lower(): known for known in manager.OPTIMIZERS}
    return name if name in manager.OPTIMIZERS else by_lower_case.get(str(name).lower(), name)


def _as_float(key: str, value: Any) -> Any:
    return float(value) if key == "weight_decay" and isinstance(value, int) else value


def _default_decay(factory: type) -> Any:
    parameter = inspect.signature(factory).parameters.get("weight_decay")
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def _checked_group(item: Any, position: int) -> Mapping[str, Any]:
    allowed = ("name", "lr_mult", "weight_decay_mult")
    where: tuple[str | int, ...] = ("optimizer", "custom_cfg", position)
    if not isinstance(item, Mapping) or not isinstance(item.get("name"), str) or not item["name"]:
        raise KeyPathError(where, "needs 'name', a part of the parameters' names")
    for key, value in item.items():
        if key not in allowed:
            raise KeyPathError((*where, key), f"unknown key; allowed: {', '.join(allowed)}{nearest(key, allowed)}")
        if key != "name" and (isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0):
            raise KeyPathError((*where, key), f"must be a number not below 0, got {kind_of(value)}: {value!r}")
    return item


def _register(name: str) -> None:
    factory = getattr(paddle.optimizer, name)
    own = inspect.signature(factory).parameters.values()
    kept = [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.name not in _GIVEN_BY_US]
    ours = [p for p in inspect.signature(PaddleOptimizer).parameters.values() if p.kind is not p.VAR_KEYWORD]
    signature = inspect.Signature([*kept, *(p.replace(kind=p.KEYWORD_ONLY) for p in ours)])
    attributes = {"factory": factory, "__signature__": signature, "__doc__": f"`paddle.optimizer.{name}`."}
    manager.OPTIMIZERS.add_component(type(name, (PaddleOptimizer,), attributes))


for _name in paddle.optimizer.__all__:
    if _name not in _NOT_OFFERED:
        _register(_name)
