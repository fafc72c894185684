"""How a training run evaluates: the arguments of `evaluate` from the configuration and the flags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicalseg.core.trained import asked_task
from medicalseg.inference import inferer_for
from medicalseg.utils.logger import logger

if TYPE_CHECKING:
    from medicalseg.core.train_options import TrainOptions

SAVED_CASES = 5
OVERLAYS = 3


def evaluation_arguments(config: Any, dataset: Any, model: Any, options: TrainOptions) -> dict[str, Any]:
    """Keyword arguments for `medicalseg.core.val.evaluate`.

    Mirrored copies are left out, which cost up to seven times the rest, unless `test_config.mirror` is "task".

    Raises:
        ConfigError: a sliding window is asked for and no window size is known.
    """
    test = dict(config.test_config or {})
    if test.setdefault("mirror", "none") == "none" and (dataset.task.sliding or {}).get("mirror_axes"):
        logger.info("Evaluations during the training do not mirror (test_config.mirror: task does); `val` does.")
    arguments: dict[str, Any] = {
        "losses": config.loss,
        "num_workers": options.num_workers,
        "eval_space": test.get("eval_space", "original"),
        "auc_roc": bool(test.get("auc_roc", False)),
        "print_detail": False,
        "overlays": 0,
        "sliding": inferer_for(asked_task(test, dataset.task, model, options.sw_num)),
    }
    if options.save_predictions:
        arguments["save_dir"] = Path(options.save_dir) / "eval"
        arguments["save_predictions"] = test.get("save_predictions", SAVED_CASES)
        arguments["overlays"] = test.get("overlays", OVERLAYS)
    return arguments


def writes_every_time(config: Any) -> bool:
    """Whether pictures and label maps are written at every evaluation of a run, not only at its last."""
    return bool((config.test_config or {}).get("write") == "every")


def without_pictures(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What takes overlays and label maps out of arguments of `evaluate`; the tables stay."""
    return {"overlays": 0, "save_predictions": 0} if "save_dir" in arguments else {}
