"""Verify a dataset: every case by itself, in parallel, then all together."""

from __future__ import annotations

from functools import partial

from medicalseg.datasets.verify.across import compare_cases, unnamed_values
from medicalseg.datasets.verify.finding import ERROR, Finding, one_line
from medicalseg.datasets.verify.inspection import Facts, Rules, allowed_ids, inspect_case
from medicalseg.datasets.verify.pictures import compare_pictures, inspect_picture
from medicalseg.datasets.verify.report import Report
from medicalseg.datasets.verify.source import Source
from medicalseg.utils.pool import run_all


def verify_dataset(
    source: Source, *, num_classes: int | None = None, ignore_index: int | None = None, num_workers: int = 0
) -> Report:
    """Check every case and the dataset as a whole.

    Args:
        source: from `open_source`.
        num_classes: allow the ids 0 to this - 1; default: the ids that the dataset declares, else any.
        ignore_index: id that is no class; default: as declared, else 255.
        num_workers: processes; each holds one case at a time.

    Raises:
        RunError: if a worker process died.
    """
    ignored = source.ignore_index if ignore_index is None else ignore_index
    rules = Rules(allowed_ids(source.labels, num_classes), ignored, source.also_ignored, source.headers)
    facts, findings = [], list(source.findings)
    inspect = partial(inspect_picture, source.folders, rules) if source.folders else partial(inspect_case, rules)
    for case, result in run_all(inspect, source.cases, num_workers, "verify"):
        if isinstance(result, Facts):
            facts.append(result)
            findings += result.findings
        else:
            findings.append(Finding(ERROR, "unreadable", case.name, one_line(result)))
    facts.sort(key=lambda item: item.case)
    findings += compare_cases(source, facts)
    findings += unnamed_values(source, facts) if num_classes is None else ()
    if source.folders:
        findings += compare_pictures(source, facts)
    findings.sort(key=lambda finding: (finding.severity != ERROR, finding.kind, finding.case))
    return Report(source, facts, findings)
