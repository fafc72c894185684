"""`medicalseg train`, `tools/train.py`."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from typing import TYPE_CHECKING

from medicalseg.cli.arguments import truth
from medicalseg.errors import UserError

if TYPE_CHECKING:
    from medicalseg.core.train_options import TrainOptions

HELP = "Train a network."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All flags of PaddleSeg3D's train.py, and ours."""
    add = parser.add_argument
    add("--config", required=True, help="YAML file that describes the run")
    add("--iters", type=int, help="replaces `iters` of the file")
    add("--epochs", type=int, help="passes over the training data; replaces `iters` and `epochs` of the file")
    add("--batch_size", type=int, help="replaces `batch_size` of the file; samples per step and process")
    add("--learning_rate", type=float, help="replaces the learning rate of the file")
    add("--opts", nargs="+", action="extend", metavar="KEY=VALUE", help="replace any value: model.num_classes=3")
    add("--save_dir", default="./output", help="folder for checkpoints, logs and curves (default: ./output)")
    add("--save_interval", type=int, help="iterations between checkpoints (default: 1000; with epochs, one epoch)")
    add("--keep_checkpoint_max", type=int, default=5, help="newest checkpoints to keep; 0 keeps all (default: 5)")
    add("--resume_model", "--resume", dest="resume", metavar="FOLDER|auto",
        help="go on from an iter_N folder; auto: the newest in --save_dir, or anew if there is none")  # fmt: skip
    add("--num_workers", type=int, default=0, help="processes that make batches (default: 0)")
    add("--do_eval", action="store_true", help="evaluate after each checkpoint and keep the best weights")
    add("--log_iters", type=int, default=100, help="iterations between log lines (default: 100)")
    add("--use_vdl", action="store_true", help="write VisualDL records to --save_dir")
    add("--seed", type=int, default=0, help="seed of weights, data order, augmentation, dropout (default: 0)")
    _add_device_arguments(parser)
    _add_method_arguments(parser)
    _add_old_arguments(parser)


def _add_device_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--device", help="cpu, gpu, gpu:N or xpu (default: a GPU if there is one)")
    add("--backend", default="auto", choices=["auto", "gloo", "nccl", "bkcl"], help="how ranks talk (default: auto)")
    add("--nproc_per_node", type=int, default=1, metavar="N",
        help="start N ranks on this machine by paddle.distributed.launch (default: 1)")  # fmt: skip
    add("--precision", default="fp32", choices=["fp32", "fp16", "bf16"], help="arithmetic (default: fp32)")
    add("--amp_level", default="O1", choices=["O1", "O2"], help="level of mixed precision on a GPU (default: O1)")
    add("--sync_bn", action="store_true", help="batch-norm statistics over all ranks; GPU only")
    add("--cpu_accel", choices=["auto", "off"], help="oneDNN convolutions on the CPU (default: auto)")
    add("--profiler_options", metavar="'KEY=VALUE;…'",
        help="profile iterations: 'batch_range=[50,60];profile_path=folder;state=All;sorted_key=total'")  # fmt: skip


def _add_method_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--use_ema", nargs="?", const=True, type=truth, help="keep a moving average of the weights and evaluate it")
    add("--early_stop_intervals", type=int, metavar="N", help="end after N evaluations without improvement")
    add("--sw_num", type=int, metavar="N", help="evaluate with a sliding window, N windows at a time")
    add("--is_save_data", type=truth, default=True,
        help="write label maps of 5 evaluated cases to save_dir/eval (default: True)")  # fmt: skip


def _add_old_arguments(parser: argparse.ArgumentParser) -> None:
    old = parser.add_argument_group("of PaddleSeg3D, without effect here")
    old.add_argument("--has_dataset_json", type=truth, default=True, help="geometry is taken where there is one")
    old.add_argument("--data_format", default="NCHW", help="networks here are channels-first; NHWC is refused")
    old.add_argument("--nnunet", action="store_true", help="refused: nnU-Net training is not part of this version")


def run(args: argparse.Namespace) -> int:
    """Check the flags, read the configuration, train."""
    _refuse_old(args)
    if args.nproc_per_node > 1 and os.environ.get("PADDLE_TRAINERS_NUM", "1") == "1":
        _launch(args.nproc_per_node, args.save_dir)
    warnings.filterwarnings("ignore", category=UserWarning, module="paddle")
    from medicalseg import ops

    ops.configure_process()
    from medicalseg.core.train import train
    from medicalseg.cvlibs import Config

    config = Config(
        args.config,
        learning_rate=args.learning_rate,
        iters=args.iters,
        batch_size=args.batch_size,
        opts=args.opts,
        epochs=args.epochs,
    )
    options = _options(args)
    config.require("train_dataset", "model", "loss", "optimizer", "iters")
    config.require_data("train_dataset", *(["val_dataset"] if args.do_eval else []))
    train(config, options)
    return 0


def _launch(ranks: int, save_dir: str) -> None:
    """Become `paddle.distributed.launch` of this very command."""
    flags = ["--nproc_per_node", str(ranks), "--log_dir", os.path.join(save_dir, "log")]
    command = [sys.executable, "-m", "paddle.distributed.launch", *flags, *sys.argv]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PADDLE_", "FLAGS_selected_"))}
    sys.stdout.flush()
    os.execve(sys.executable, command, kept)


def _refuse_old(args: argparse.Namespace) -> None:
    if args.nnunet:
        raise UserError("--nnunet: the nnU-Net training loop is not part of this version; leave the flag out")
    if args.data_format != "NCHW":
        raise UserError(f"--data_format {args.data_format}: networks here are channels-first; leave the flag out")


def _options(args: argparse.Namespace) -> TrainOptions:
    from medicalseg.core.profiling import ProfilerOptions
    from medicalseg.core.train_options import TrainOptions

    return TrainOptions(
        save_dir=args.save_dir,
        save_interval=args.save_interval,
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
        early_stop_intervals=args.early_stop_intervals,
        cpu_accel=args.cpu_accel or os.environ.get("MEDICALSEG_CPU_ACCEL") or "auto",
        sw_num=args.sw_num,
        save_predictions=args.is_save_data,
        profiler=ProfilerOptions.parse(args.profiler_options) if args.profiler_options else None,
    )
