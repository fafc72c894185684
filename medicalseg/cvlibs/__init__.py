"""Configuration files and component registries."""

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.components import build
from medicalseg.cvlibs.config import Config, validate
from medicalseg.cvlibs.manager import ComponentManager

__all__ = ["ComponentManager", "Config", "build", "manager", "validate"]
