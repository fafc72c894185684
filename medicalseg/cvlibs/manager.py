"""Registries: which name in a configuration stands for which component.

A registry knows the package that holds its built-in components and imports it on the first look-up, so importing
`medicalseg` stays cheap and plugins can register before or after.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

logger = logging.getLogger("medicalseg")

Component = TypeVar("Component", bound=Callable[..., Any])


class ComponentManager:
    """A registry of classes and functions by their `__name__`.

    Args:
        name: what the registry holds, for messages.
        package: package that registers the built-in components when it is imported.

    Example:
        >>> colours = ComponentManager("colours")
        >>> @colours.add_component
        ... class Red: ...
        >>> colours["Red"] is Red
        True
    """

    def __init__(self, name: str | None = None, package: str | None = None) -> None:
        self._name = name
        self._package = package
        self._components: dict[str, Callable[..., Any]] = {}

    @property
    def name(self) -> str | None:
        """What the registry holds."""
        return self._name

    @property
    def components_dict(self) -> dict[str, Callable[..., Any]]:
        """All components by name."""
        self._load_builtin()
        return self._components

    def __len__(self) -> int:
        return len(self.components_dict)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.components_dict

    def __iter__(self) -> Iterator[str]:
        return iter(self.components_dict)

    def __repr__(self) -> str:
        return f"{self._name or self.__class__.__name__}:{list(self.components_dict)}"

    def __getitem__(self, name: str) -> Callable[..., Any]:
        components = self.components_dict
        if name not in components:
            close = difflib.get_close_matches(str(name), components, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise KeyError(f"'{name}' is not among the {self._name or 'components'}: {sorted(components)}{hint}")
        return components[name]

    @overload
    def add_component(self, components: Component) -> Component: ...

    @overload
    def add_component(self, components: Sequence[Component]) -> Sequence[Component]: ...

    def add_component(self, components: Any) -> Any:
        """Register a class, a function, or a sequence of them; returns its argument, so it works as a decorator.

        A name that is taken is replaced, with a warning.

        Raises:
            TypeError: if something is neither a class nor a function.
        """
        many = components if isinstance(components, Sequence) else [components]
        for component in many:
            self._add(component)
        return components

    def add_function(self, function: Component, name: str, doc: str) -> Component:
        """Register a function that was made in a function, under a name and with a docstring of its own; returns it."""
        function.__name__ = function.__qualname__ = name
        function.__doc__ = doc
        return self.add_component(function)

    def _add(self, component: Any) -> None:
        if not (inspect.isclass(component) or inspect.isfunction(component)):
            raise TypeError(f"Expected a class or a function, got {type(component).__name__}: {component!r}")
        name = component.__name__
        if self._components.get(name, component) is not component:
            logger.warning("%s '%s' was registered before and is replaced.", self._name, name)
        self._components[name] = component

    def _load_builtin(self) -> None:
        package, self._package = self._package, None
        if package is not None:
            try:
                importlib.import_module(package)
            except BaseException:
                self._package = package
                raise


MODELS = ComponentManager("models", "medicalseg.models")
BACKBONES = ComponentManager("backbones", "medicalseg.models")
DATASETS = ComponentManager("datasets", "medicalseg.datasets.components")
TRANSFORMS = ComponentManager("transforms", "medicalseg.transforms")
LOSSES = ComponentManager("losses", "medicalseg.losses")
OPTIMIZERS = ComponentManager("optimizers", "medicalseg.optimizers")
METRICS = ComponentManager("metrics", "medicalseg.metrics")
INFERERS = ComponentManager("inferers", "medicalseg.inference")
INFERENCE_HELPERS = ComponentManager("inference_helpers", "medicalseg.inference")
POSTPROCESSING = ComponentManager("postprocessing", "medicalseg.postprocessing")
