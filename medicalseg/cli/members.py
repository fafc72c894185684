"""Flags of the verbs that segment: which networks, how volumes go through them, and what else is written."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from medicalseg.cli.backend import is_exported, options_from, refuse_for_checkpoint
from medicalseg.errors import UserError

if TYPE_CHECKING:
    from medicalseg.inference import TaskSpec
    from medicalseg.inference.mixture import Member
    from medicalseg.inference.static_network import StaticNetwork


@dataclass(frozen=True)
class Source:
    """A network that the command line names.

    Attributes:
        task: what it does, known at once.
        load: makes it ready for use.
        test_config: of its configuration.
        train_cases: names of the cases it learned from.
        earlier: of an exported cascade, the first networks.
    """

    task: TaskSpec
    load: Callable[[], Member]
    test_config: Mapping[str, Any] = field(default_factory=dict)
    train_cases: frozenset[str] | None = None
    earlier: Sequence[Member] = ()


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """What is segmented."""
    add = parser.add_argument
    add("--image_path", required=True, help="a volume, a DICOM folder, a folder of volumes, or a .txt list")
    add("--series", metavar="UID",
        help="of a DICOM folder with several series, the one to take: its SeriesInstanceUID or number")  # fmt: skip


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
    """The first network of a cascade, or several."""
    add = parser.add_argument
    add("--previous_config", nargs="+",
        help="of a cascade, the first network's YAML file or deploy.yaml; several: their mean")  # fmt: skip
    add("--previous_model_path", nargs="+", help="of a cascade, the first network's weights; several: their mean")


def paired(configs: Sequence[str], weights: Sequence[str] | None, which: str = "") -> list[tuple[str, str | None]]:
    """Which weights belong to which configuration: one configuration may stand for all, exported models have none.

    Args:
        configs: of the flag `--config`, or what `which` puts before it.
        weights: of `--model_path`, likewise.
        which: "previous_" or nothing.

    Raises:
        UserError: if the numbers do not fit.
    """
    given = list(weights or ())
    trained = [config for config in configs if not is_exported(config)]
    if trained and not given:
        raise UserError(f"--{which}model_path: give the weights, a .pdparams file or the folder that holds it")
    if len(configs) == 1 and trained:
        return [(configs[0], path) for path in given]
    if not trained and given:
        raise UserError(f"--{which}model_path belongs to a checkpoint; {configs[0]} is an exported model")
    if len(trained) != len(given):
        raise UserError(
            f"--{which}config has {len(trained)} files of training and --{which}model_path {len(given)} weights: "
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
    return _sources(args, pairs)


def previous_sources(args: argparse.Namespace) -> list[Source]:
    """The first networks of a cascade that are named; the flags about windows and restoring are not theirs.

    Raises:
        UserError: if flags do not go together.
    """
    if args.previous_config is None:
        if args.previous_model_path is not None:
            raise UserError("--previous_model_path needs --previous_config, the YAML file of those weights")
        return []
    options = argparse.Namespace(**vars(args))
    options.opts = options.sw_num = options.overlap = options.restoring = None
    return _sources(options, paired(args.previous_config, args.previous_model_path, "previous_"))


def _sources(args: argparse.Namespace, pairs: Sequence[tuple[str, str | None]]) -> list[Source]:
    found: list[Source] = []
    for config, weights in pairs:
        found += _exported(args, config) if weights is None else [_trained(args, config, weights)]
    return found


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


def deployed(network: StaticNetwork, ask: Callable[[TaskSpec, StaticNetwork], TaskSpec]) -> list[Member]:
    """What is exported as one model: a network, or several that see images differently.

    Args:
        network: the model.
        ask: gives a task the windows and restoring that are asked for.
    """
    from medicalseg.inference import inferer_for
    from medicalseg.inference.mixture import Member

    tasks = [(ask(task, each), each) for task, each in network.parts()]
    return [Member(task, each, inferer_for(task)) for task, each in tasks]


def earlier_of(network: StaticNetwork, mirror: str | None) -> list[Member]:
    """The first networks of an exported cascade; of the flags about windows only `--tta` is theirs too."""
    from medicalseg.inference.asked_windows import with_sliding

    if network.previous is None:
        return []
    return deployed(network.previous, lambda task, _: with_sliding(task, {}, mirror=mirror))


def _trained(args: argparse.Namespace, path: str, weights: str) -> Source:
    from medicalseg import ops

    ops.configure_process()
    from medicalseg.core.fit import check_network
    from medicalseg.core.task import task_for
    from medicalseg.core.train_cases import train_cases_of
    from medicalseg.core.trained import asked_task, load_trained, open_config
    from medicalseg.inference import EagerNetwork, inferer_for
    from medicalseg.inference.mixture import Member
    from medicalseg.utils.environment import choose_device

    config = open_config(path, weights, args.opts)
    task, test = restored_as(task_for(config, weights), args.restoring), config.test_config

    def load() -> Member:
        choose_device(args.device)
        model = load_trained(config, weights, args.cpu_accel)
        check_network(model, task)
        asked = asked_task(test, task, model, args.sw_num, overlap=args.overlap, mirror=args.tta)
        return Member(asked, EagerNetwork(model, task.decision), inferer_for(asked))

    return Source(task, load, test, train_cases_of(weights))


def _exported(args: argparse.Namespace, path: str) -> list[Source]:
    from medicalseg.core.train_cases import train_cases_of_export
    from medicalseg.inference.asked_windows import with_sliding
    from medicalseg.inference.static_network import StaticNetwork

    for flag in ("opts", "cpu_accel"):
        if getattr(args, flag):
            raise UserError(f"--{flag} belongs to a checkpoint; {path} is an exported model")

    def ask(task: TaskSpec, network: StaticNetwork) -> TaskSpec:
        if args.sw_num and task.slices is None and network.gives_labels:
            raise UserError(
                f"--sw_num: {network.path} was exported with {network.output_op}, and windows are joined by their "
                f"scores; export with --output_op none (or {task.head})"
            )
        task = restored_as(task, args.restoring)
        return with_sliding(task, {}, sw_num=args.sw_num, overlap=args.overlap, mirror=args.tta)

    network = StaticNetwork(path, options_from(args))
    known, earlier = train_cases_of_export(network), earlier_of(network, args.tta)
    return [
        Source(member.task, partial(_itself, member), train_cases=known, earlier=earlier)
        for member in deployed(network, ask)
    ]


def _itself(member: Member) -> Member:
    return member
