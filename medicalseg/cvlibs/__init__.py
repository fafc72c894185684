"""Configuration files and component registries."""

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.manager import ComponentManager

__all__ = ["ComponentManager", "manager"]
