"""All cases of a dataset ahead of training, in several processes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from medicalseg.datasets.case import Case, naming
from medicalseg.datasets.patches.store import PatchStore
from medicalseg.errors import DataError, MedicalSegError, RunError
from medicalseg.utils.logger import logger
from medicalseg.utils.pool import run_all

NAMED = 3


def prepare_all(store: PatchStore, cases: Sequence[Case], num_workers: int) -> None:
    """Make what is missing of the cases; one broken case does not stop the others.

    Args:
        store: where they are kept.
        cases: which.
        num_workers: processes; 0 or 1 works in this one.

    Raises:
        DataError: if cases are wrong; names the first.
        RunError: if the disk is full or a process died.
    """
    missing = [case for case in cases if not store.is_prepared(case)]
    if not missing:
        return
    logger.info("Preparing %d of %d cases in %s.", len(missing), len(cases), store.folder)
    errors = []
    for _, result in run_all(partial(prepare_case, store), missing, num_workers, "cases prepared"):
        if isinstance(result, RunError):
            raise result
        if isinstance(result, MedicalSegError):
            errors.append(str(result))
    if errors:
        more = f" (and {len(errors) - NAMED} more cases)" if len(errors) > NAMED else ""
        raise DataError("; ".join(errors[:NAMED]) + more)


def prepare_case(store: PatchStore, case: Case) -> None:
    """Make what is missing of a case."""
    with naming(case):
        store.prepare(case)
