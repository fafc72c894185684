"""The course of `medicalseg prepare NAME`, the same for all data sets of volumes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from medicalseg.datasets.prepare import engine
from medicalseg.datasets.prepare.arguments import check_common
from medicalseg.datasets.prepare.job import Job
from medicalseg.datasets.prepare.raw import description_copy, raw_folder

MakeJob = Callable[[Path, Path], Job]
Fetch = Callable[[argparse.Namespace, Path, str], Path]


def prepare(
    args: argparse.Namespace,
    phase: str,
    unpacked: str,
    how_to_get: str,
    make_job: MakeJob,
    *,
    origin: str = "real",
    fetch: Fetch = raw_folder,
) -> int:
    """Check flags and what is there, get the raw volumes, and run the engine.

    Args:
        args: the flags.
        phase: name of the result's folder below `args.dataset_root`.
        unpacked: name of the folder beside it that archives are unpacked into.
        how_to_get: where the data come from, for the message when there are none.
        make_job: from the folder with raw volumes and the result's folder to the job.
        origin: "real" or "phantom"; one never replaces the other unasked.
        fetch: gets the raw volumes from the flags, the folder for archives and `how_to_get`.

    Returns:
        The exit code: 2 if a case is broken.

    Raises:
        UserError: a flag is wrong, or there is nothing to prepare.
    """
    check_common(args)
    output, archives = args.dataset_root / phase, args.dataset_root / unpacked
    engine.check_origin(output, origin, args.force)
    job = make_job(fetch(args, archives, how_to_get), output)
    job = replace(job, origin=origin, copies=description_copy(archives, args.raw_dir))
    return engine.run(job, num_workers=args.num_workers, force=args.force).exit_code
