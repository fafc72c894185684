"""Cross-validation: every fold trained, its validation cases predicted, postprocessing chosen, everything summed up."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medicalseg.core.checkpoint_store import BEST, FINAL
from medicalseg.core.chosen_steps import carry
from medicalseg.core.crossval_figures import HONEST, NETWORK, SHIPPED, CrossvalReport, Stage
from medicalseg.core.crossval_notes import BEST_NOTE, plan_notes, stale_notes, steering_notes
from medicalseg.core.extras import check_levels, level_orders_of
from medicalseg.core.fold_predictions import POSTPROCESSED, FoldCases, predict_fold
from medicalseg.core.fold_split import check_held_out
from medicalseg.core.folds import ALL_CASES, OpenConfig, fold_folder, folds_of, train_folds
from medicalseg.core.out_of_fold import Choice, Steps, choose, described, kept_as_they_are, postprocessed, score
from medicalseg.core.train_options import TrainOptions
from medicalseg.errors import RunError, UserError
from medicalseg.metrics import CaseResult, MeasureOptions
from medicalseg.reports.crossval import mean_rows, write_crossval
from medicalseg.reports.markdown import table
from medicalseg.utils import distributed
from medicalseg.utils import logger as log
from medicalseg.utils.logger import logger
from medicalseg.utils.words import counted

WEIGHTS = {"final": FINAL, "best": BEST}
ONE_FOLD_NOTE = "postprocessing was chosen on the scored cases, because there is only one fold: its figures flatter"


@dataclass(frozen=True)
class CrossvalOptions:
    """How a cross-validation is summed up.

    Attributes:
        weights: "final", or "best", which were chosen on the scored cases.
        choose: whether postprocessing is chosen; else the labels stay as they are.
        bootstrap: draws of the confidence intervals over cases; 0 makes none.
        measures: what is measured beside Dice.
        level_orders: ids of levels from one end to the other, one list per row of structures; none: as the
            configuration's `test_config.level_order` says.
        opts: changes of the configuration, which the printed command repeats.
    """

    weights: str = "final"
    choose: bool = True
    bootstrap: int = 1000
    measures: MeasureOptions = field(default_factory=MeasureOptions)
    level_orders: tuple[tuple[int, ...], ...] = ()
    opts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS:
            raise UserError(f"--weights {self.weights}: choose from {', '.join(WEIGHTS)}")
        if self.bootstrap < 0:
            raise UserError(f"--bootstrap {self.bootstrap}: must not be below 0")


def crossval(
    open_config: OpenConfig, options: TrainOptions, wanted: Sequence[int | str], summing: CrossvalOptions
) -> CrossvalReport:
    """Train the folds that are not done, then predict, choose and sum up; everything that is done is kept.

    Args:
        open_config: opens the configuration, with `fold=` for one of them.
        options: how to train; `save_dir` is the folder of all folds.
        wanted: folds, from `parse_folds`.
        summing: how to sum up.

    Raises:
        UserError: configuration, data or flags are wrong.
        RunError: a run failed; what was done before is kept.
    """
    options = _checked(options, wanted, summing)
    for fold in folds_of(open_config(log_notes=False), wanted):
        check_held_out(_opened(open_config, int(fold)), int(fold))
    folds = [int(fold) for fold in train_folds(open_config, options, wanted)]
    distributed.barrier()
    if not distributed.is_main():
        return CrossvalReport()
    log.setup(Path(options.save_dir) / "crossval.log")
    members = [_predicted(open_config, options, fold, summing) for fold in folds]
    choice = choose(members, options.num_workers) if summing.choose else Choice()
    logger.info("Postprocessing, chosen on %d folds: %s", len(folds), described(choice.shipped))
    report = _report(open_config(fold=folds[0], log_notes=False), members, choice, options, summing)
    for member in members:
        if not (choice.of_fold or {}).get(member.fold):
            kept_as_they_are(member, member.folder / POSTPROCESSED)
    _store(members, choice, options, summing)
    paths = write_crossval(Path(options.save_dir), report)
    logger.info("\n%s", "\n".join(table(mean_rows(report))))
    logger.info("Written: %s", ", ".join(map(str, paths)))
    logger.info("Predict with all folds together:\n  %s", report.command)
    return report


def _checked(options: TrainOptions, wanted: Sequence[int | str], summing: CrossvalOptions) -> TrainOptions:
    if tuple(wanted) == ("none",):
        raise UserError("--folds none: trains on all cases, which leaves none to cross-validate with; use `train`")
    if options.resume not in (None, "auto"):
        raise UserError("--resume: crossval always goes on where the folds are; leave it out")
    if summing.weights == "best" and not options.do_eval:
        raise UserError("--weights best needs --do_eval, which chooses them")
    return replace(options, resume="auto")


def _predicted(open_config: OpenConfig, options: TrainOptions, fold: int, summing: CrossvalOptions) -> FoldCases:
    folder, config = fold_folder(options.save_dir, fold), _opened(open_config, fold)
    if not (folder / WEIGHTS[summing.weights]).is_dir():
        if summing.weights == "best" and (folder / FINAL).is_dir():
            raise UserError(
                f"--weights best: fold {fold} was trained without --do_eval, which chooses them, or no class could be "
                "scored; take --weights final, or train into another --save_dir"
            )
        raise RunError(f"{folder / WEIGHTS[summing.weights]} does not exist: fold {fold} was not finished")
    cases = predict_fold(config, fold, folder, WEIGHTS[summing.weights], options)
    return replace(cases, notes=stale_notes(fold, folder, config.train_dataset))


def _opened(open_config: OpenConfig, fold: int) -> Any:
    config = open_config(fold=fold, log_notes=False)
    config.require_data("train_dataset", "val_dataset")
    return config


def _report(
    config: Any, members: Sequence[FoldCases], choice: Choice, options: TrainOptions, summing: CrossvalOptions
) -> CrossvalReport:
    orders = summing.level_orders or level_orders_of(config.test_config)
    check_levels(orders, members[0].task)
    scored = [pair.name for member in members for pair in member.pairs]
    stale = [note for member in members for note in member.notes]
    always = (*stale, *steering_notes(members), *plan_notes(config, scored))
    flattering = (BEST_NOTE, *always) if summing.weights == "best" else always

    def stage(title: str, steps: Mapping[int, Steps], name: str | None = None, notes: Sequence[str] = ()) -> Stage:
        logger.info("Scoring %s: %s", counted(len(scored), "case"), title)
        results = _results(members, steps, orders, options, summing, name)
        rules = summing.measures.rules()
        return Stage.of(results, members[0].task, rules, summing.bootstrap, options.seed, (*notes, *flattering))

    stages = {NETWORK: stage(NETWORK, {})}
    if choice.of_fold is not None and (choice.shipped or any(choice.of_fold.values())):
        chosen = any(choice.of_fold.values())
        stages[HONEST] = stage(HONEST, choice.of_fold, POSTPROCESSED, choice.notes) if chosen else stages[NETWORK]
    if choice.shipped:
        notes = choice.notes if choice.of_fold is not None else (ONE_FOLD_NOTE, *choice.notes)
        stages[SHIPPED] = stage(SHIPPED, {member.fold: choice.shipped for member in members}, None, notes)
    return CrossvalReport(
        stages=stages,
        cases={member.fold: tuple(pair.name for pair in member.pairs) for member in members},
        given=members[0].task.postprocessing,
        steps=choice.shipped,
        steps_of_fold=choice.of_fold or {},
        table=choice.table,
        weights=summing.weights,
        command=ensemble_command(config, members, summing),
        run={"config_file": str(config.path), "seed": options.seed, "max_time": config.max_time},
    )


def _results(
    members: Sequence[FoldCases],
    steps: Mapping[int, Steps],
    orders: Sequence[Sequence[int]],
    options: TrainOptions,
    summing: CrossvalOptions,
    name: str | None,
) -> dict[int, list[CaseResult]]:
    """Figures by fold; postprocessed label maps are kept in the folder `name` of each fold, else thrown away."""
    found = {}
    with tempfile.TemporaryDirectory(dir=options.save_dir) as scratch:
        for member in members:
            folder = Path(scratch) / str(member.fold) if name is None else member.folder / name
            pairs = postprocessed(member, steps.get(member.fold, ()), folder, options.num_workers)
            found[member.fold] = score(pairs, member.task, summing.measures, orders, options.num_workers)
    return found


def _store(members: Sequence[FoldCases], choice: Choice, options: TrainOptions, summing: CrossvalOptions) -> None:
    """Put the steps beside the weights that were scored, and those of a training on all cases, so that prediction and
    export take them."""
    from medicalseg.postprocessing import set_postprocessing

    for member in members:
        steps = (*member.task.postprocessing, *choice.shipped)
        set_postprocessing(member.folder / WEIGHTS[summing.weights], steps)
    carry(fold_folder(options.save_dir, ALL_CASES) / FINAL, members[0].task.postprocessing, choice.shipped)


def ensemble_command(config: Any, members: Sequence[FoldCases], summing: CrossvalOptions) -> str:
    """The command that predicts with the networks of all folds together."""
    paths = [str(member.folder / WEIGHTS[summing.weights]) for member in members]
    words = ["medicalseg", "predict", "--config", str(config.path), "--model_path", *paths]
    changes = ["--opts", *summing.opts] if summing.opts else []
    return f"{shlex.join([*words, *changes])} --image_path IMAGES --save_dir OUTPUT"
