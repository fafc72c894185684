"""The arithmetic of a training: of the flag, else of the configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from medicalseg.core.train_options import TrainOptions
from medicalseg.errors import UserError
from medicalseg.utils import environment
from medicalseg.utils.logger import logger

DEFAULT = "fp32"


def with_precision(options: TrainOptions, config: Any, device: str) -> TrainOptions:
    """The options with `precision` settled: the flag's, else the key's where the machine can compute it, else fp32.

    Args:
        options: how to train; `precision` None follows the configuration.
        config: `medicalseg.cvlibs.Config`.
        device: what is computed on.

    Raises:
        UserError: the flag asks for what the machine cannot compute.
    """
    if options.precision is not None:
        _check(options.precision, options, config, device)
        return options
    wanted = config.precision or DEFAULT
    try:
        _check(wanted, options, config, device)
    except UserError as error:
        if wanted == DEFAULT:
            raise
        logger.warning("precision: %s of the configuration is left out, training in %s: %s", wanted, DEFAULT, error)
        wanted = DEFAULT
    if wanted != DEFAULT:
        logger.info("Training in %s (precision of the configuration).", wanted)
    return replace(options, precision=wanted)


def _check(precision: str, options: TrainOptions, config: Any, device: str) -> None:
    environment.check_precision(precision, options.amp_level, device, options.cpu_accel)
    if precision == "bf16" and device == "cpu" and config.to_static_training:
        raise UserError("--precision bf16 on the CPU does not go with to_static_training; use --precision fp32")
