"""`medicalseg train`, `tools/train.py`."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from medicalseg.cli.arguments import truth
from medicalseg.errors import UserError

if TYPE_CHECKING:
    from medicalseg.core.train_options import TrainOptions
    from medicalseg.cvlibs import Config

HELP = "Train a network."
EVALUATION_FLAGS = ("val_interval", "pseudo_interval", "early_stop_intervals", "early_stop_min_delta")


def add_arguments(parser: argparse.ArgumentParser, all_cases: bool = True) -> None:
    """All flags of PaddleSeg3D's train.py, and ours.

    Args:
        parser: gets them.
        all_cases: whether `--folds none` is offered.
    """
    add = parser.add_argument
    add("--config", required=True, help="YAML file that describes the run")
    _add_length_arguments(parser, all_cases)
    add("--batch_size", type=int, help="replaces `batch_size` of the file; samples per step and process")
    add("--learning_rate", type=float, help="replaces the learning rate of the file")
    add("--opts", nargs="+", action="extend", metavar="KEY=VALUE", help="replace any value: model.num_classes=3")
    add("--save_dir", default="./output", help="folder for checkpoints, logs and curves (default: ./output)")
    add("--save_interval", metavar="N|SHARE",
        help="iterations between checkpoints, or a share of the run as 10%% (default: 1000; with epochs, one epoch; "
        "with a time budget, 10%%)")  # fmt: skip
    add("--keep_checkpoint_max", type=int, default=5, help="newest checkpoints to keep; 0 keeps all (default: 5)")
    add("--resume_model", "--resume", dest="resume", metavar="FOLDER|auto",
        help="go on from an iter_N folder; auto: the newest in --save_dir, or anew if there is none")  # fmt: skip
    add("--num_workers", type=int, default=0, help="processes that make batches (default: 0)")
    _add_evaluation_arguments(parser)
    add("--log_iters", type=int, metavar="N",
        help="iterations between log lines (default: 100; with a time budget at least 20 lines)")  # fmt: skip
    add("--use_vdl", action="store_true", help="write VisualDL records to --save_dir")
    add("--seed", type=int, default=0, help="seed of weights, data order, augmentation, dropout (default: 0)")
    _add_device_arguments(parser)
    _add_method_arguments(parser)
    _add_old_arguments(parser)


def _add_length_arguments(parser: argparse.ArgumentParser, all_cases: bool) -> None:
    add = parser.add_argument
    add("--iters", type=int, help="replaces `iters` of the file; with --max_time the most there may be")
    add("--epochs", type=int, help="passes over the training data; replaces `iters` and `epochs` of the file")
    add("--max_time", metavar="TIME", help="wall-clock budget: 90s, 30m, 2h, 1h30m; the schedule is spread over it")
    none = "; none: all cases without validation" if all_cases else " (default: all)"
    add("--folds", nargs="+", metavar="K|A..B|all|none" if all_cases else "K|A..B|all",
        help=f"train folds one after the other, each in its own folder{none}")  # fmt: skip
    add("--num_folds", type=int, metavar="N",
        help="folds to cut the cases into (default: as the datasets say, else 5); "
        "not with a file of folds")  # fmt: skip


def _add_evaluation_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--do_eval", action="store_true", help="evaluate whole validation cases at intervals and keep the best weights")
    add("--val_interval", metavar="N|SHARE",
        help="iterations between evaluations, or a share of the run (default: with every checkpoint)")  # fmt: skip
    add("--pseudo_interval", metavar="N|SHARE",
        help="the same between pseudo-Dices of patches (default: 5%% where the data give patches)")  # fmt: skip


def _add_device_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--device", help="cpu, gpu, gpu:N or xpu (default: a GPU if there is one)")
    add("--backend", default="auto", choices=["auto", "gloo", "nccl", "bkcl"], help="how ranks talk (default: auto)")
    add("--nproc_per_node", type=int, default=1, metavar="N",
        help="start N ranks on this machine by paddle.distributed.launch (default: 1)")  # fmt: skip
    add("--precision", choices=["fp32", "fp16", "bf16"],
        help="arithmetic; replaces `precision` of the file (default: fp32)")  # fmt: skip
    add("--amp_level", default="O1", choices=["O1", "O2"], help="level of mixed precision on a GPU (default: O1)")
    add("--sync_bn", action="store_true", help="batch-norm statistics over all ranks; GPU only")
    add("--cpu_accel", choices=["auto", "off"], help="oneDNN convolutions on the CPU (default: auto)")
    add("--profiler_options", metavar="'KEY=VALUE;…'",
        help="profile iterations: 'batch_range=[50,60];profile_path=folder;state=All;sorted_key=total'")  # fmt: skip


def _add_method_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--use_ema", nargs="?", const=True, type=truth, help="keep a moving average of the weights and evaluate it")
    add("--ema_decay", type=float, metavar="D", help="the same, with this decay (0.99: over about 100 steps)")
    add("--grad_clip", type=float, metavar="NORM", help="clip gradients to this global norm")
    add("--early_stop_intervals", type=int, metavar="N", help="end after N evaluations without improvement")
    add("--early_stop_min_delta", type=float, metavar="X", help="what counts as an improvement (default: 0)")
    add("--sw_num", type=int, metavar="N", help="evaluate with a sliding window, N windows at a time")
    add("--is_save_data", type=truth, default=True,
        help="write label maps of 5 evaluated cases to save_dir/eval (default: True)")  # fmt: skip


def _add_old_arguments(parser: argparse.ArgumentParser) -> None:
    old = parser.add_argument_group("of PaddleSeg3D, without effect here")
    old.add_argument("--has_dataset_json", type=truth, default=True, help="geometry is taken where there is one")
    old.add_argument("--data_format", default="NCHW", help="networks here are channels-first; NHWC is refused")
    old.add_argument("--nnunet", action="store_true", help="NNUNet and MSDDataset train in the same loop as all others")


def run(args: argparse.Namespace) -> int:
    """Check the flags, read the configuration, train."""
    refuse_old(args)
    launch_ranks(args)
    configure()
    from medicalseg.core.folds import parse_folds, train_folds
    from medicalseg.core.train import train

    open_config = opener(args)
    options = options_of(args)
    if args.folds is not None:
        train_folds(open_config, options, parse_folds(args.folds))
        return 0
    config = open_config()
    check_data(config, args.do_eval)
    train(config, options)
    return 0


def configure() -> None:
    """Set up the process before Paddle computes anything."""
    warnings.filterwarnings("ignore", category=UserWarning, module="paddle")
    from medicalseg import ops

    ops.configure_process()


def opener(args: argparse.Namespace) -> Callable[..., Config]:
    """What opens the configuration with the flags, of a fold if one is given."""
    from medicalseg.cvlibs import Config

    return partial(
        Config,
        args.config,
        learning_rate=args.learning_rate,
        iters=args.iters,
        batch_size=args.batch_size,
        opts=args.opts,
        epochs=args.epochs,
        max_time=args.max_time,
        grad_clip=args.grad_clip,
        num_folds=args.num_folds,
    )


def check_data(config: Config, evaluates: bool) -> None:
    """Make sure that the configuration has what a training needs.

    Raises:
        ConfigError: names what is missing.
    """
    config.require("train_dataset", "model", "loss", "optimizer", "iters")
    config.require_data("train_dataset", *(["val_dataset"] if evaluates else []))


def launch_ranks(args: argparse.Namespace) -> None:
    """Become several processes if `--nproc_per_node` asks for them, and this is not one of them already."""
    if args.nproc_per_node > 1 and os.environ.get("PADDLE_TRAINERS_NUM", "1") == "1":
        _launch(args.nproc_per_node, args.save_dir)


def _launch(ranks: int, save_dir: str) -> None:
    """Become `paddle.distributed.launch` of this very command."""
    flags = ["--nproc_per_node", str(ranks), "--log_dir", os.path.join(save_dir, "log")]
    command = [sys.executable, "-m", "paddle.distributed.launch", *flags, *sys.argv]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PADDLE_", "FLAGS_selected_"))}
    sys.stdout.flush()
    os.execve(sys.executable, command, kept)


def refuse_old(args: argparse.Namespace) -> None:
    if args.data_format != "NCHW":
        raise UserError(f"--data_format {args.data_format}: networks here are channels-first; leave the flag out")


def _refuse_useless(args: argparse.Namespace) -> None:
    """Refuse flags of an evaluation where none is made; `--folds none`, which has nothing to evaluate, takes them."""
    if args.do_eval or args.folds == ["none"]:
        return
    given = [f"--{name}" for name in EVALUATION_FLAGS if getattr(args, name) is not None]
    if given:
        raise UserError(f"{', '.join(given)}: no effect without --do_eval, which evaluates; add it, or leave this out")


def options_of(args: argparse.Namespace) -> TrainOptions:
    """How to run the training, of the flags.

    Raises:
        UserError: a flag is wrong, or would have no effect.
    """
    from medicalseg.core.profiling import ProfilerOptions
    from medicalseg.core.train_options import TrainOptions

    _refuse_useless(args)
    return TrainOptions(
        save_dir=args.save_dir,
        save_interval=args.save_interval,
        val_interval=args.val_interval,
        pseudo_interval=args.pseudo_interval,
        limit_iters=args.iters is not None or args.epochs is not None,
        resume=args.resume,
        keep_checkpoint_max=args.keep_checkpoint_max,
        num_workers=args.num_workers,
        do_eval=args.do_eval,
        log_iters=args.log_iters,
        use_vdl=args.use_vdl,
        seed=args.seed,
        device=args.device,
        backend=args.backend,
        precision=args.precision,
        amp_level=args.amp_level,
        sync_bn=args.sync_bn,
        use_ema=args.use_ema,
        ema_decay=args.ema_decay,
        early_stop_intervals=args.early_stop_intervals,
        early_stop_min_delta=args.early_stop_min_delta,
        cpu_accel=args.cpu_accel or os.environ.get("MEDICALSEG_CPU_ACCEL") or "auto",
        sw_num=args.sw_num,
        save_predictions=args.is_save_data,
        profiler=ProfilerOptions.parse(args.profiler_options) if args.profiler_options else None,
    )
