"""`medicalseg val`, `tools/val.py`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicalseg.cli.arguments import truth
from medicalseg.cli.measures import add_interval_arguments, add_measure_arguments, extras_from
from medicalseg.cli.members import add_window_arguments, restored_as
from medicalseg.errors import UserError

if TYPE_CHECKING:
    from medicalseg.cvlibs import Config
    from medicalseg.inference import TaskSpec
    from medicalseg.metrics import Summary

HELP = "Evaluate a checkpoint: Dice, IoU, precision and recall per class and case, pictures, label maps."
APART = "evaluate them with `medicalseg predict --label_path`, which takes several grids"
SPLITS = ("val", "test", "train")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All flags of PaddleSeg3D's val.py, and ours."""
    add = parser.add_argument
    add("--config", required=True, help="YAML file the network was trained with")
    add("--model_path", required=True, nargs="+",
        help="weights: a .pdparams file or the folder that holds it; several, as of folds: their mean")  # fmt: skip
    add("--save_dir", default="./output/val", help="folder for the report (default: ./output/val)")
    add("--split", choices=SPLITS, default="val", help="which dataset of the file (default: val)")
    add("--eval_space", choices=("original", "network"),
        help="grid on which masks are compared: each case's own (default), or the prepared one")  # fmt: skip
    add("--num_workers", type=int, default=0, help="threads that read ahead (default: 0)")
    add("--print_detail", type=truth, default=True, help="log progress and the table (default: True)")
    add("--use_vdl", type=truth, default=False, help="write VisualDL records to --save_dir (default: False)")
    add("--auc_roc", type=truth, default=None, help="also compute the area under the ROC curve (default: False)")
    add("--sw_num", type=int, metavar="N", help="sliding window, N windows at a time; N slices of a network for images")
    add("--is_save_data", type=truth,
        help="write predictions as NIfTI: True all, False none (default: test_config's number, else all)")  # fmt: skip
    add(
        "--has_dataset_json",
        type=truth,
        default=True,
        help="of PaddleSeg3D, without effect: geometry is taken where there is one",
    )
    add("--overlays", type=int, choices=range(4),
        help="pictures: best, median, worst case (default: test_config.overlays, else 3)")  # fmt: skip
    add("--atlas", action="store_true",
        help="also score a majority-label atlas of the training cases, the figure a network has to beat")  # fmt: skip
    add("--calibration", type=truth, default=None,
        help="whether probabilities can be believed (default: test_config.calibration, else False)")  # fmt: skip
    add("--nnunet_summary", type=Path, metavar="FILE", help="also write the form of nnU-Net's summary.json there")
    add_interval_arguments(parser, 0)
    add_measure_arguments(parser, ())
    add_window_arguments(parser)
    add_device_arguments(parser)


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """What evaluation and prediction from a checkpoint share."""
    add = parser.add_argument
    add("--opts", nargs="+", action="extend", metavar="KEY=VALUE", help="replace any value of the file")
    add("--device", help="cpu, gpu, gpu:N or xpu (default: a GPU if there is one)")
    add("--cpu_accel", choices=("auto", "off"), help="oneDNN convolutions on the CPU (default: auto)")


def run(args: argparse.Namespace) -> int:
    """Build network and dataset, evaluate, write."""
    from medicalseg import ops

    ops.configure_process()
    from medicalseg.core.evaluation_options import OVERLAYS
    from medicalseg.core.task import task_for
    from medicalseg.core.trained import asked_task, load_trained, open_config
    from medicalseg.core.val import evaluate
    from medicalseg.inference import inferer_for
    from medicalseg.inference.alike import check_one_grid
    from medicalseg.utils import distributed
    from medicalseg.utils.environment import choose_device

    config = open_config(args.config, args.model_path[0], args.opts)
    distributed.init("auto", choose_device(args.device))
    dataset = _dataset(config, args.split)
    trained = task_for(config, args.model_path[0])
    dataset.task = restored_as(_as_trained(dataset.task, trained), args.restoring)
    _check_outputs(args.save_dir, args.nnunet_summary, dataset)
    more = [(open_config(args.config, path, args.opts), path) for path in args.model_path[1:]]
    check_one_grid([trained, *(task_for(each, path) for each, path in more)], APART)
    models = [load_trained(each, path, args.cpu_accel) for each, path in ((config, args.model_path[0]), *more)]
    _warn_of_other_preprocessing(trained, dataset)
    test = config.test_config
    space = args.eval_space or test.get("eval_space") or "original"
    asked = asked_task(test, dataset.task, models[0], args.sw_num, overlap=args.overlap, mirror=args.tta)
    summary = evaluate(
        models if more else models[0],
        dataset,
        losses=_losses(config),
        num_workers=args.num_workers,
        eval_space=space,
        save_dir=args.save_dir,
        overlays=test.get("overlays", OVERLAYS) if args.overlays is None else args.overlays,
        save_predictions=_saved(args.is_save_data, test),
        sliding=inferer_for(asked),
        auc_roc=bool(test.get("auc_roc", False)) if args.auc_roc is None else args.auc_roc,
        print_detail=args.print_detail,
        notes=_trained_on(config, args, dataset),
        run={"config": str(args.config), "model": config.dic["model"], "weights": _named(args.model_path)},
        extras=extras_from(args, test),
    )
    if args.atlas:
        _score_atlas(config, dataset, space, args.save_dir, summary)
    if args.nnunet_summary is not None and distributed.is_main():
        _write_nnunet(args.nnunet_summary, summary, dataset, Path(args.save_dir), _saved(args.is_save_data, test))
    if distributed.is_main():
        _say_where(args.save_dir, args.use_vdl)
    return 0


def _named(files: list[str]) -> str | list[str]:
    """One file as itself, several as a list."""
    return files[0] if len(files) == 1 else files


def _losses(config: Config) -> dict[str, list[Any]] | None:
    """The losses to report; None where there are none, or where their class weights need the training data."""
    from medicalseg.losses import wants_class_frequencies
    from medicalseg.utils.logger import logger

    losses = config.loss if config.dic.get("loss") else None
    if losses is not None and wants_class_frequencies(losses):
        logger.info("The loss is not computed: its class weights come from the training data.")
        return None
    return losses


def _saved(is_save_data: bool | None, test_config: dict[str, Any]) -> int | None:
    """How many predictions are written; None = all."""
    if is_save_data is None:
        return test_config.get("save_predictions")
    return None if is_save_data else 0


def _score_atlas(config: Config, dataset: Any, space: str, save_dir: str, network: Summary) -> None:
    from medicalseg.core.atlas import MajorityAtlas
    from medicalseg.core.val import evaluate
    from medicalseg.inference import WholeVolume
    from medicalseg.utils.logger import logger

    model = MajorityAtlas(_dataset(config, "train"))
    atlas = evaluate(
        model,
        dataset,
        eval_space=space,
        save_dir=Path(save_dir) / "atlas",
        overlays=0,
        sliding=WholeVolume(),
        print_detail=False,
    )
    logger.info("%-26s%10s%10s", "Mean Dice", "network", "atlas")
    rows = {"foreground": (network.foreground_mean, atlas.foreground_mean)}
    rows |= {name: (value, atlas.groups[name]) for name, value in network.groups.items()}
    for name, values in rows.items():
        logger.info("%-26s%10.4f%10.4f", name, *values)


def _dataset(config: Config, split: str) -> Any:
    key = f"{split}_dataset"
    config.require_data(key)
    dataset = getattr(config, key)
    if split == "train" and config.dic.get("val_dataset"):
        dataset.transforms = config.val_dataset.transforms
    if split == "train":
        dataset.mode = "val"
    return dataset


def _check_outputs(save_dir: str, nnunet_summary: Path | None, dataset: Any) -> None:
    from medicalseg.utils.files import output_folder

    root = getattr(dataset, "dataset_root", None)
    targets = {"--save_dir": output_folder(save_dir)}
    if nnunet_summary is not None:
        targets["--nnunet_summary"] = nnunet_summary
        if nnunet_summary.is_dir():
            raise UserError(f"--nnunet_summary {nnunet_summary} is a folder; give a file")
    for flag, target in targets.items():
        path = target.resolve()
        if root is not None and Path(root).resolve() in (path, *path.parents):
            raise UserError(f"{flag} {target} lies in the dataset's folder {root}; give another one")


def _write_nnunet(path: Path, summary: Summary, dataset: Any, save_dir: Path, saved: int | None) -> None:
    from medicalseg.core.evaluated_files import evaluated_files
    from medicalseg.reports.nnunet_summary import write_nnunet_summary
    from medicalseg.utils.logger import logger

    files = evaluated_files(dataset, _labelled(dataset), summary, save_dir, saved)
    write_nnunet_summary(path, summary, dataset.task, files)
    logger.info("In nnU-Net's form: %s", path)


def _trained_on(config: Config, args: argparse.Namespace, dataset: Any) -> list[str]:
    """A note if cases of the dataset are among the training cases: those recorded with the weights, else those of the
    configuration, unless the dataset says so itself."""
    from medicalseg.core.fit import leaking_notes
    from medicalseg.core.train_cases import seen_note, together, train_cases_of
    from medicalseg.utils.logger import logger

    members = [train_cases_of(path) for path in args.model_path]
    scored = [str(getattr(dataset.cases[index], "name", dataset.cases[index])) for index in _labelled(dataset)]
    notes = list(seen_note(scored, together(members)))
    if notes or None not in members:
        return notes
    if args.split == "train":
        return ["these are the cases that the network was trained on"]
    if not config.dic.get("train_dataset"):
        return []
    try:
        trained = config.train_dataset
    except UserError as error:
        logger.info("Whether training cases are among the evaluated ones is not known: %s", error)
        return []
    return list(leaking_notes(trained, dataset))


def _labelled(dataset: Any) -> list[int]:
    """Indices of the cases that are scored."""
    count = len(getattr(dataset, "cases", ()))
    return [index for index in range(count) if not hasattr(dataset, "has_label") or dataset.has_label(index)]


def _as_trained(task: TaskSpec, trained: TaskSpec) -> TaskSpec:
    """The dataset's task with what is stored with the weights about everything behind the network's input."""
    return replace(task, sliding=trained.sliding, restoring=trained.restoring, postprocessing=trained.postprocessing)


def _warn_of_other_preprocessing(trained: TaskSpec, dataset: Any) -> None:
    from medicalseg.utils.logger import logger

    if trained.preprocessing != dataset.task.preprocessing:
        logger.warning(
            "The network was trained with another preprocessing than this dataset has; expect worse figures. "
            "`medicalseg config` shows the dataset's, meta.json beside the weights the network's."
        )


def _say_where(save_dir: str, use_vdl: bool) -> None:
    from medicalseg.reports import write_visual_log
    from medicalseg.utils.logger import logger

    if use_vdl:
        write_visual_log(save_dir)
    logger.info("Report: %s", ", ".join(sorted(path.name for path in Path(save_dir).iterdir())) + f" in {save_dir}")
