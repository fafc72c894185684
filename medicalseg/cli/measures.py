"""Flags of the measures beside Dice, shared by every verb that scores."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medicalseg.core.extras import Extras
    from medicalseg.metrics import MeasureOptions

METRICS = ("dice", "nsd", "hd", "hd95", "assd", "volume", "detection")


def add_measure_arguments(parser: argparse.ArgumentParser, default: Sequence[str]) -> None:
    """Declare the flags.

    Args:
        parser: of the verb.
        default: measures made without `--metrics`.
    """
    group = parser.add_argument_group("measures")
    add = group.add_argument
    add("--metrics", nargs="+", choices=METRICS, default=list(default), metavar="NAME",
        help=f"of {', '.join(METRICS)} (default: {' '.join(default) or 'Dice alone'})")  # fmt: skip
    add("--tolerance_mm", type=float, default=1.0, metavar="MM", help="of the surface Dice, nsd (default: 1)")
    add("--detection_rule", choices=("iou", "overlap"), default="iou",
        help="parts are paired one to one by IoU, or found by the share that overlaps (default: iou)")  # fmt: skip
    add("--detection_threshold", type=float, default=0.1, metavar="T", help="least IoU or share (default: 0.1)")
    add("--connectivity", type=int, choices=(1, 2, 3), default=3,
        help="voxels of a part touch at faces, also edges, also corners (default: 3)")  # fmt: skip
    add("--min_volume_mm3", type=float, default=0.0, metavar="V", help="smaller parts are left out (default: 0)")
    add("--level_order", type=int, nargs="+", action="append", default=[], metavar="ID",
        help="class ids of numbered structures from one end to the other; again for another row of them")  # fmt: skip


def measures_from(args: argparse.Namespace) -> MeasureOptions:
    """What the flags ask for.

    Raises:
        UserError: if a value is wrong.
    """
    from medicalseg.metrics import DetectionRule, MeasureOptions

    rule = DetectionRule(args.detection_rule, args.detection_threshold, args.connectivity, args.min_volume_mm3)
    return MeasureOptions(tuple(args.metrics), args.tolerance_mm, rule)


def add_interval_arguments(parser: argparse.ArgumentParser, draws: int) -> None:
    """Declare the flags of confidence intervals, made from so many draws by default."""
    add = parser.add_argument
    add("--bootstrap", type=int, default=draws, metavar="N",
        help=f"draws for the 95 %% confidence intervals over cases; 0: none (default: {draws})")  # fmt: skip
    add("--seed", type=int, default=0, help="of these draws (default: 0)")


def extras_from(args: argparse.Namespace, test_config: Mapping[str, Any]) -> Extras:
    """What the flags, and where they are silent the configuration, ask for beside Dice.

    Raises:
        UserError: if a value is wrong.
    """
    from medicalseg.core.extras import Extras, level_orders_of

    orders = tuple(tuple(order) for order in args.level_order) or level_orders_of(test_config)
    calibration = getattr(args, "calibration", None)
    return Extras(
        measures=measures_from(args),
        level_orders=orders,
        bootstrap=args.bootstrap,
        seed=args.seed,
        calibration=bool(test_config.get("calibration", False)) if calibration is None else calibration,
    )
