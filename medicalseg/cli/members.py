"""Flags of the verbs that segment: which networks, how volumes go through them, and what else is written."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from medicalseg.cli.backend import is_exported, options_from, refuse_for_checkpoint
from medicalseg.errors import UserError

if TYPE_CHECKING:
    from medicalseg.inference import TaskSpec
    from medicalseg.inference.mixture import Member


@dataclass(frozen=True)
class Source:
    """A network that the command line names: its task, known at once, how to load it, its configuration's
    `test_config`, and the names of the cases it learned from."""

    task: TaskSpec
    load: Callable[[], Member]
    test_config: Mapping[str, Any] = field(default_factory=dict)
    train_cases: frozenset[str] | None = None


def add_window_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """How volumes go through the network, beside `--sw_num`."""
    add = parser.add_argument
    add(
        "--overlap",
        type=float,
        metavar="PART",
        help="part of a window that the next covers again (default: the task's, else 0.5)",
    )
    add("--tta", "--mirror", dest="tta", choices=("none", "task"),
        help="test-time mirroring: none, or along the axes that the task names (default: task)")  # fmt: skip
    add("--restoring", choices=("labels", "scores"),
        help="what is brought to the image's own grid: labels, or probabilities (default: the task's)")  # fmt: skip


def add_output_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """What is written beside labels, and how much memory that may take."""
    add = parser.add_argument
    add(
        "--uncertainty",
        action="store_true",
        help="also write the entropy of the probabilities, CASE_uncertainty.nii.gz",
    )
    add("--memory", metavar="LIMIT",
        help="memory to use beside the network, as 3G; smaller pieces are chosen to fit (default: all)")  # fmt: skip


def add_previous_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The first network of a cascade."""
    parser.add_argument("--previous_config", help="of a cascade, the first network's YAML file or deploy.yaml")
    parser.add_argument("--previous_model_path", help="of a cascade, the first network's weights")


def paired(configs: Sequence[str], weights: Sequence[str] | None) -> list[tuple[str, str | None]]:
    """Which weights belong to which configuration: one configuration may stand for all, exported models have none.

    Raises:
        UserError: if the numbers do not fit.
    """
    given = list(weights or ())
    trained = [config for config in configs if not is_exported(config)]
    if trained and not given:
        raise UserError("--model_path: give the weights, a .pdparams file or the folder that holds it")
    if len(configs) == 1 and trained:
        return [(configs[0], path) for path in given]
    if not trained and given:
        raise UserError(f"--model_path belongs to a checkpoint; {configs[0]} is an exported model")
    if len(trained) != len(given):
        raise UserError(
            f"--config has {len(trained)} files of training and --model_path {len(given)} weights: "
            "give one file for all weights, or one for each"
        )
    remaining = iter(given)
    return [(config, None if is_exported(config) else next(remaining)) for config in configs]


def sources(args: argparse.Namespace) -> list[Source]:
    """The networks of `--config` and `--model_path`, in order.

    Raises:
        UserError: if flags do not go together.
    """
    pairs = paired(args.config, args.model_path)
    if not all(is_exported(config) for config in args.config):
        refuse_for_checkpoint(args)
    return [source(args, config, weights) for config, weights in pairs]


def previous_source(args: argparse.Namespace) -> Source | None:
    """The first network of a cascade, if one is named."""
    if args.previous_config is None:
        if args.previous_model_path is not None:
            raise UserError("--previous_model_path needs --previous_config, the YAML file of those weights")
        return None
    weights = None if args.previous_model_path is None else [args.previous_model_path]
    config, path = paired([args.previous_config], weights)[0]
    return source(args, config, path, earlier=True)


def source(args: argparse.Namespace, config: str, weights: str | None, earlier: bool = False) -> Source:
    """One network; the flags about windows and restoring are not those of an `earlier` one."""
    options = argparse.Namespace(**vars(args))
    if earlier:
        options.opts = options.sw_num = options.overlap = options.restoring = None
    return _exported(options, config) if weights is None else _trained(options, config, weights)


def restored_as(task: TaskSpec, restoring: str | None) -> TaskSpec:
    """The task with what `--restoring` says."""
    return task if restoring is None else replace(task, restoring=restoring)


def single(members: Sequence[Member]) -> list[Member]:
    """Members that see the same put together as one ensemble; the others as they are."""
    from medicalseg.inference import Ensemble
    from medicalseg.inference.alike import check_answers, same_road
    from medicalseg.inference.mixture import Member

    tasks = [member.task for member in members]
    check_answers(tasks)
    if len(members) == 1 or not same_road(tasks):
        return list(members)
    first = members[0]
    return [Member(first.task, Ensemble([member.network for member in members]), first.inferer)]


def earlier_of(network: Any) -> Member | None:
    """The first network of an exported cascade."""
    from medicalseg.inference import inferer_for
    from medicalseg.inference.mixture import Member

    earlier = getattr(network, "previous", None)
    return None if earlier is None else Member(earlier.task, earlier, inferer_for(earlier.task))


def _trained(args: argparse.Namespace, path: str, weights: str) -> Source:
    from medicalseg import ops

    ops.configure_process()
    from medicalseg.core.fit import check_network
    from medicalseg.core.task import task_for
    from medicalseg.core.train_cases import train_cases_of
    from medicalseg.core.trained import load_trained, open_config, sliding_from
    from medicalseg.inference import EagerNetwork, inferer_for
    from medicalseg.inference.mixture import Member
    from medicalseg.utils.environment import choose_device

    config = open_config(path, weights, args.opts)
    task, test = restored_as(task_for(config, weights), args.restoring), config.test_config

    def load() -> Member:
        choose_device(args.device)
        model = load_trained(config, weights, args.cpu_accel)
        check_network(model, task)
        sliding = sliding_from(test, task, model, args.sw_num, overlap=args.overlap, mirror=args.tta)
        return Member(task, EagerNetwork(model, task.decision), inferer_for(task, sliding))

    return Source(task, load, test, train_cases_of(weights))


def _exported(args: argparse.Namespace, path: str) -> Source:
    from medicalseg.core.train_cases import train_cases_of_export
    from medicalseg.core.trained import sliding_from
    from medicalseg.inference import inferer_for
    from medicalseg.inference.mixture import Member
    from medicalseg.inference.static_network import StaticNetwork

    for flag in ("opts", "cpu_accel"):
        if getattr(args, flag):
            raise UserError(f"--{flag} belongs to a checkpoint; {path} is an exported model")
    network = StaticNetwork(path, options_from(args))
    if args.sw_num and network.task.slices is None and network.gives_labels:
        raise UserError(
            f"--sw_num: {network.path} was exported with {network.output_op}, and windows are joined by their scores; "
            f"export with --output_op none (or {network.task.head})"
        )
    task = restored_as(network.task, args.restoring)
    sliding = sliding_from({}, task, None, args.sw_num, overlap=args.overlap, mirror=args.tta)
    known = train_cases_of_export(network)
    return Source(task, lambda: Member(task, network, inferer_for(task, sliding)), train_cases=known)
