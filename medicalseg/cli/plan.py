"""`medicalseg plan`: look at a dataset and write configurations that fit it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from medicalseg.cli.arguments import truth
from medicalseg.errors import UserError
from medicalseg.utils.words import counted

if TYPE_CHECKING:
    from medicalseg.planning.plan import Outcome
    from medicalseg.planning.settings import Settings
    from medicalseg.planning.source import PlanSource

HELP = (
    "Verify a dataset, take its fingerprint and write commented configurations for it: spacing, normalisation, patch, "
    "batch, network, loss, schedule, each value with its reason."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add = parser.add_argument
    add("dataset", type=Path, help="an MSD, nnU-Net or BIDS-like folder; nothing is written there")
    add("--device", choices=["cpu", "gpu"], help="what will train (default: a GPU if there is one)")
    add("--memory", metavar="SIZE", help="memory that training may use: 8G, 800M (default: 8G, or the preset's)")
    add("--kind", nargs="+", choices=["2d", "3d", "3d_lowres", "cascade"],
        help="configurations to write (default: 3d; others are suggested where they seem useful)")  # fmt: skip
    add("--out", type=Path, default=Path("configs/auto"), help="folder of the dataset's folder (default: %(default)s)")
    add("--name", help="name of the dataset's folder in it (default: that of DATASET)")
    add("--time_budget", metavar="TIME", help="length of the training, such as 30m or 2h: it ends by the clock")
    add("--step_seconds", type=float, metavar="S", help="on a CPU: how long a training step may take (default: 1)")
    add("--precision", choices=["fp32", "bf16", "fp16"],
        help="arithmetic of the training (default: bf16 on a CPU that has it, fp16 on a GPU, else fp32)")  # fmt: skip
    add("--network", default="plain", help="plain, resenc, unet3d, vnet or a registered network (default: plain)")
    add("--preset", help="memory numbers of the network: plain, ResEncM, ResEncL, ResEncXL")
    _add_label_arguments(parser)
    add("--fold", type=int, metavar="K",
        help="measure the training cases of fold K alone, so that held-out ones have no say")  # fmt: skip
    add("--num_workers", type=int, default=min(4, os.cpu_count() or 1), help="processes (default: %(default)s)")
    add("--skip_verify", action="store_true", help="do not verify the dataset first")
    add("--overwrite", action="store_true", help="replace configurations that are there")
    add("--dry_run", type=truth, nargs="?", const=True, default=True,
        help="take training steps on random data in a process of their own, to measure (default: True)")  # fmt: skip
    add("--no_dry_run", dest="dry_run", action="store_false", help="plan by the estimate alone")


def _add_label_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("labels, where dataset.json is not what you want")
    add = group.add_argument
    add("--labels", nargs="+", metavar="NAME=ID", help="classes: L5=20 lumbar=21,22 (values merged); background is 0")
    add("--regions", nargs="+", metavar="NAME=ID", help="regions that may overlap: WT=1,2,3,4 TC=1,3,4 ET=4")
    add("--region_order", nargs="+", type=int, metavar="ID", help="values that regions paint into one label map")
    add("--ignore", nargs="+", type=int, metavar="ID", help="stored values that are neither trained nor scored")
    add("--dataset_json", help="the description to use, if the folder has several")
    add("--labels_dir", help="label folder in DATASET, if not as described")


def run(args: argparse.Namespace) -> int:
    """Verify, plan, write, say what was decided."""
    from medicalseg.planning.plan import dataset_name, plan
    from medicalseg.planning.source import open_dataset

    if args.num_workers < 0:
        raise UserError(f"--num_workers {args.num_workers}: must be at least 0")
    source = open_dataset(
        args.dataset,
        dataset_json=args.dataset_json,
        labels_dir=args.labels_dir,
        labels=args.labels,
        regions=args.regions,
        region_order=args.region_order,
        ignore=args.ignore,
        fold=args.fold,
    )
    settings = _settings(args)
    if not args.skip_verify:
        _verify(args, source)
    folder = args.out / (args.name or dataset_name(source))
    outcome = plan(source, settings, folder, num_workers=args.num_workers, overwrite=args.overwrite, check=args.dry_run)
    print(_summary(outcome))
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    from medicalseg.planning.machine import default_device, default_precision, usable_cores
    from medicalseg.planning.settings import MEMORY, STEP_SECONDS, Settings, gigabytes
    from medicalseg.utils.duration import seconds_of

    if args.time_budget is not None:
        seconds_of(args.time_budget)
    device = args.device or default_device()
    network = {"PlainConvUNet": "plain", "ResidualEncoderUNet": "resenc"}.get(args.network, args.network)
    if args.preset is not None and args.preset.lower().startswith("resenc") and network == "plain":
        network = "resenc"
    drafted = Settings(device=device, network=network, preset=args.preset)
    usual = drafted.planned.memory_gb if args.preset and drafted.planned else MEMORY
    return Settings(
        device=device,
        memory=usual if args.memory is None else gigabytes(args.memory),
        kinds=tuple(dict.fromkeys(args.kind or ())),
        network=network,
        preset=args.preset,
        time_budget=args.time_budget,
        step_seconds=STEP_SECONDS if args.step_seconds is None else args.step_seconds,
        precision=args.precision or default_precision(device),
        cores=usable_cores(),
    )


def _verify(args: argparse.Namespace, source: PlanSource) -> None:
    from medicalseg.datasets.verify import verify_dataset
    from medicalseg.datasets.verify.finding import ERROR
    from medicalseg.datasets.verify.source import open_layout
    from medicalseg.errors import DataError
    from medicalseg.utils.logger import logger

    checked = open_layout(source.layout, source.label_map, labels_dir=args.labels_dir)
    report = verify_dataset(checked, num_workers=args.num_workers)
    errors = [finding for finding in report.findings if finding.severity == ERROR]
    if errors:
        first = errors[0]
        case = f"case {first.case}: " if first.case else ""
        more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
        raise DataError(
            f"{args.dataset}: {case}{first.message}{more}; `medicalseg verify` lists all, --skip_verify plans anyway"
        )
    if report.warnings:
        logger.warning("%d warnings of verify; `medicalseg verify %s` lists them.", report.warnings, args.dataset)


def _summary(outcome: Outcome) -> str:
    fingerprint = outcome.fingerprint
    sizes = [counted(len(fingerprint.cases), "case"), counted(fingerprint.channels, "channel")]
    lines = [", ".join([*sizes, counted(len(fingerprint.names), "class", "classes")])]
    for planned in outcome.configs:
        stage = planned.stage
        patch = "x".join(map(str, stage.fit.topology.patch))
        spacing = "x".join(f"{value:g}" for value in stage.spacing)
        cost = ""
        if planned.measured is not None:
            cost = f", {planned.measured.seconds:.2f} s and {planned.measured.peak_bytes / 2**30:.2f} GB in the dry run"
        lines.append(f"{planned.path}: {spacing} mm, patch {patch}, batch {stage.fit.batch}{cost}")
    lines += [f"note: {note}" for note in outcome.notes]
    return "\n".join(lines)
