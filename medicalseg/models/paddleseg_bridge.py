"""Networks of an installed `paddleseg` package under `type: paddleseg.NAME`, in our training, evaluation and export."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.manager import ComponentManager
from medicalseg.errors import ConfigError, MissingDependencyError, UserError
from medicalseg.models.base_2d import SegmentationModel2D
from medicalseg.utils.checkpoint import load_pretrained

PREFIX = "paddleseg."
SMALLEST_SIDE = 32
INSTALL = "pip install -e '.[paddleseg]'"


class PaddleSegNetwork(SegmentationModel2D):
    """A network for images from paddleseg; its names in the state dict begin with `network.`.

    Its heads are those that it gives: a network may give more in training than in evaluation, and the loss needs one
    coefficient for each of training. Images below 32 pixels are padded; which other sizes fit is up to the network.

    Args:
        network: takes (N, C, H, W), gives a list of logits (N, num_classes, H, W).
        in_channels: C.
        num_classes: channels of the output.
    """

    smallest_side = SMALLEST_SIDE

    def __init__(self, network: nn.Layer, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.network = network

    def all_logits(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Logits of every head that the network gives, the main one first."""
        logits = self.network(x)
        return list(logits) if isinstance(logits, (list, tuple)) else [logits]

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, H, W) of the main head."""
        return self.all_logits(x)[0]


def component(name: str, registry: ComponentManager | None = None) -> Callable[..., Any]:
    """What `type: paddleseg.NAME` stands for: a function with the constructor's arguments.

    A network's takes `in_channels` too, which says how many channels the first convolution has where the constructor
    does not ask. `pretrained` is loaded by `load_pretrained`, not by paddleseg, whose reader runs code in the file.

    Args:
        name: begins with "paddleseg.".
        registry: `manager.MODELS`, `manager.BACKBONES`, or None for either.

    Raises:
        MissingDependencyError: paddleseg is missing or cannot be imported; tells what to install.
        ConfigError: it has no such network.
    """
    name = name.removeprefix(PREFIX)
    known = _registered(name)
    kinds = {manager.MODELS: ("models",), manager.BACKBONES: ("backbones",), None: ("models", "backbones")}
    if registry not in kinds:
        raise ConfigError(f"'{PREFIX}{name}': only networks and backbones can be taken from paddleseg")
    for kind in kinds[registry]:
        if name in known[kind]:
            return (_network if kind == "models" else _backbone)(known[kind][name])
    names = sorted(PREFIX + other for kind in kinds[registry] for other in known[kind])
    close = difflib.get_close_matches(PREFIX + name, names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise ConfigError(f"'{PREFIX}{name}' is not among the networks of paddleseg: {', '.join(names)}{hint}")


def _registered(name: str) -> dict[str, Mapping[str, Callable[..., Any]]]:
    try:
        importlib.import_module("paddleseg.models")
        found = importlib.import_module("paddleseg.cvlibs").manager
    except (ImportError, AttributeError) as error:
        raise _not_importable(error, name) from error
    return {"models": found.MODELS.components_dict, "backbones": found.BACKBONES.components_dict}


def _not_importable(error: Exception, name: str) -> MissingDependencyError:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and missing.partition(".")[0] == "paddleseg":
        return MissingDependencyError(f"type '{PREFIX}{name}' needs the package paddleseg: {INSTALL} in the checkout")
    if missing is not None:
        return MissingDependencyError(f"paddleseg needs the package {missing}: {INSTALL}")
    reason = " ".join(str(error).split()) or type(error).__name__
    if "numpy" not in reason and "_ARRAY_API" not in reason:
        return MissingDependencyError(f"paddleseg cannot be imported ({reason}): install it again, {INSTALL}")
    return MissingDependencyError(
        f"paddleseg cannot be imported ({reason}): the OpenCV that paddleseg 2.8 pins is too old for NumPy 2; either "
        f"take NumPy 1, as {INSTALL} does, or a newer OpenCV: pip uninstall opencv-python && "
        "pip install 'opencv-python-headless>=4.10'"
    )


def _network(make: Callable[..., Any]) -> Callable[..., Any]:
    own = _parameters(make)

    def build(**arguments: Any) -> PaddleSegNetwork:
        channels = arguments.get("in_channels")
        asked = "in_channels" in own or any(item.kind is item.VAR_KEYWORD for item in own.values())
        network = _built(make, {key: value for key, value in arguments.items() if asked or key != "in_channels"})
        found = _first_channels(network)
        if channels is not None and found is not None and channels != found:
            raise ConfigError(f"in_channels is {channels}, but the first convolution takes {found}: set it in backbone")
        channels = channels or found
        if channels is None:
            raise ConfigError("in_channels is needed, since the network has no convolution that tells it")
        return PaddleSegNetwork(network, channels, arguments.get("num_classes") or _default(own, "num_classes"))

    return _named(build, make, {**own, **_extra("in_channels", own)})


def _backbone(make: Callable[..., Any]) -> Callable[..., Any]:
    def build(**arguments: Any) -> Any:
        return _built(make, arguments)

    return _named(build, make, _parameters(make))


def _built(make: Callable[..., Any], arguments: Mapping[str, Any]) -> nn.Layer:
    """The layer with its weights, if `pretrained` names some."""
    network = make(**{key: value for key, value in arguments.items() if key != "pretrained"})
    if arguments.get("pretrained"):
        load_pretrained(network, arguments["pretrained"])
    return network


def _parameters(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(make).parameters)


def _extra(name: str, own: Mapping[str, inspect.Parameter]) -> dict[str, inspect.Parameter]:
    return {} if name in own else {name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)}


def _default(own: Mapping[str, inspect.Parameter], name: str) -> int:
    value = own[name].default if name in own else None
    if not isinstance(value, int):
        raise UserError(f"{name} is needed")
    return value


def _named(
    build: Callable[..., Any], make: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]
) -> Callable[..., Any]:
    build.__name__ = build.__qualname__ = PREFIX + getattr(make, "__name__", "network")
    ordered = sorted(parameters.values(), key=lambda parameter: parameter.kind)
    build.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    return build


def _first_channels(network: nn.Layer) -> int | None:
    for layer in network.sublayers():
        if isinstance(layer, nn.Conv2D):
            return int(layer.weight.shape[1]) * int(layer._groups)
    return None
