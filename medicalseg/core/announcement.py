"""What a training run says of itself at its start: in the log and in `run.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medicalseg.core.manifest import dataset_entry, write_manifest
from medicalseg.core.run_length import RunLength
from medicalseg.core.sampler import IterationSampler
from medicalseg.core.train_options import TrainOptions
from medicalseg.core.trainer_state import TrainerState
from medicalseg.core.training_parts import Parts
from medicalseg.utils import distributed, environment
from medicalseg.utils.logger import logger


def announce(
    config: Any,
    options: TrainOptions,
    parts: Parts,
    length: RunLength,
    state: TrainerState,
    sampler: IterationSampler,
    device: str,
) -> None:
    """Log the environment, the configuration and the size of the run; write `run.json`. Rank 0 does."""
    if not distributed.is_main():
        return
    parameters = sum(int(p.size) for p in parts.model.parameters() if not p.stop_gradient)
    rows = "\n".join(f"{name}: {value}" for name, value in environment.describe(device).items())
    logger.info("\n%s\n%s\n%s", " Environment Information ".center(48, "-"), rows, "-" * 48)
    logger.info("\n%s\n%s\n%s", " Config Information ".center(48, "-"), _config_text(config), "-" * 48)
    logger.info(
        "%s: %d trainable parameters; %d samples, %d iterations per epoch, %d samples per iteration.",
        *(type(parts.model).__name__, parameters, sampler.length, sampler.iters_per_epoch, state.global_batch),
    )
    if config.epochs:
        logger.info("%d epochs are %d iterations.", config.epochs, length.schedule)
    if length.max_time is not None:
        logger.info("%s", length.text(state.elapsed))
    content = {
        "config_file": str(config.path),
        "config": config.dic,
        "options": vars(options) | {"profiler": None},
        "seed": options.seed,
        "device": device,
        "ranks": distributed.world_size(),
        "length": length.to_dict(),
        "bit_exact": length.max_time is None,
        "resumed_at": state.iteration or None,
        "resumed_after_seconds": state.elapsed or None,
        "train_dataset": dataset_entry(parts.train_dataset),
        "val_dataset": dataset_entry(parts.val_dataset),
    }
    write_manifest(Path(options.save_dir) / "run.json", device, content)


def _config_text(config: Any) -> str:
    import yaml

    return yaml.safe_dump(config.dic, sort_keys=False, allow_unicode=True, default_flow_style=None).rstrip()
