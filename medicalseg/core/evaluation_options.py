"""How a training run evaluates: the arguments of `evaluate` from the configuration and the flags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicalseg.errors import UserError

if TYPE_CHECKING:
    from medicalseg.core.train import TrainOptions

SAVED_CASES = 5


def evaluation_arguments(config: Any, model: Any, options: TrainOptions) -> dict[str, Any]:
    """Keyword arguments for `medicalseg.core.val.evaluate`.

    Raises:
        UserError: a sliding window is asked for and no window size is known.
    """
    test = dict(config.test_config or {})
    arguments: dict[str, Any] = {
        "losses": config.loss,
        "num_workers": options.num_workers,
        "eval_space": test.get("eval_space", "original"),
        "auc_roc": bool(test.get("auc_roc", False)),
        "print_detail": False,
        "overlays": 0,
        "sliding": _window(test, model, options.sw_num),
    }
    if options.save_predictions:
        arguments["save_dir"] = Path(options.save_dir) / "eval"
        arguments["save_predictions"] = SAVED_CASES
        arguments["overlays"] = test.get("overlays", 3)
    return arguments


def _window(test: dict[str, Any], model: Any, sw_num: int | None) -> Any:
    sliding = test.get("sliding")
    if not (sw_num or test.get("sw_num") or test.get("is_slide") or sliding):
        return None
    from medicalseg.inference import SlidingWindow

    given = dict(sliding) if isinstance(sliding, dict) else {}
    given.pop("type", None)
    given.setdefault("window", test.get("crop_size") or getattr(model, "img_shape", None))
    given.setdefault("batch", sw_num or test.get("sw_num") or 1)
    if given["window"] is None:
        raise UserError(
            f"--sw_num: {type(model).__name__} has no fixed window size; leave --sw_num out, or set "
            "test_config.sliding.window in the configuration"
        )
    return SlidingWindow(**given)
