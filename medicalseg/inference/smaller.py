"""Work in pieces that fit the memory; where it runs out, the same work again in smaller ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from medicalseg.inference.grid import GridRecord
from medicalseg.inference.memory import MemoryPlan, is_out_of_memory, largest_grid
from medicalseg.inference.mixture import Member, mix
from medicalseg.inference.pipeline import Result, restore, segment
from medicalseg.inference.sliding_window import Inferer
from medicalseg.inference.timings import Timings
from medicalseg.io import Volume
from medicalseg.utils.logger import logger

Outcome = TypeVar("Outcome")


def in_smaller_pieces(
    work: Callable[[Sequence[Inferer]], Outcome],
    inferers: Sequence[Inferer],
    shapes: Sequence[Sequence[int]],
    name: str,
) -> tuple[Outcome, list[Inferer]]:
    """Work; where memory runs out, again with less for every network, as long as there is a way.

    Args:
        work: is given how a volume goes through each network.
        inferers: the same, to begin with.
        shapes: (X, Y, Z) of the volume on each network's grid.
        name: of the case, for the log.

    Returns:
        The result, and the inferers that it was made with, which fit the next volume too.

    Raises:
        MemoryError: or whatever says that memory ran out, where nothing smaller is left; other errors as they come.
    """
    inferers = list(inferers)
    while True:
        try:
            return work(inferers), inferers
        except (MemoryError, RuntimeError, SystemError, OSError) as error:
            ways = [each.smaller(shape) for each, shape in zip(inferers, shapes, strict=True)]
            if not is_out_of_memory(error) or not any(ways):
                raise
        inferers = [each if way is None else way[0] for each, way in zip(inferers, ways, strict=True)]
        what = "; ".join(dict.fromkeys(way[1] for way in ways if way is not None))
        logger.warning("%s: memory ran out; tried again in smaller pieces: %s.", name, what)


def segment_within(
    image: Volume,
    member: Member,
    plan: MemoryPlan,
    name: str,
    timings: Timings | None = None,
    previous: Volume | None = None,
    of: str | None = None,
) -> tuple[Volume, Member]:
    """As `segment`, in pieces that fit the memory.

    Args:
        image: an image as read.
        member: the network.
        plan: what memory there is.
        name: of the case, for the log.
        timings: see `segment`.
        previous: see `segment`.
        of: which network it is, for the log, where there are others for the same image.

    Returns:
        Its labels, and the network with the pieces that they were made in.
    """
    member = replace(member, inferer=plan.fit_all(image, [member], of=of)[0])

    def work(inferers: Sequence[Inferer]) -> Volume:
        with plan.lock:
            return segment(image, member.task, member.network, inferers[0], timings, previous)

    labels, inferers = in_smaller_pieces(work, [member.inferer], [largest_grid(image, member.task)], name)
    return labels, replace(member, inferer=inferers[0])


def mix_within(
    image: Volume,
    members: Sequence[Member],
    plan: MemoryPlan,
    name: str,
    timings: Timings,
    previous: Volume | None = None,
    uncertainty: bool = False,
    of: str | None = None,
) -> tuple[tuple[Result, GridRecord], list[Member]]:
    """As `mix`, in pieces that fit the memory.

    Args:
        image: an image as read.
        members: the networks.
        plan: what memory there is.
        name: of the case, for the log.
        timings: see `mix`.
        previous: see `mix`.
        uncertainty: see `mix`.
        of: which networks they are, for the log, where there are others for the same image.

    Returns:
        What `mix` gives, and the networks with the pieces that it was made in.
    """
    fitting = plan.fit_all(image, members, uncertainty, of)
    members = [replace(each, inferer=inferer) for each, inferer in zip(members, fitting, strict=True)]

    def average(inferers: Sequence[Inferer]) -> tuple[Result, GridRecord]:
        now = [replace(each, inferer=new) for each, new in zip(members, inferers, strict=True)]
        with plan.lock:
            return mix(image, now, timings, previous, uncertainty)

    shapes = [largest_grid(image, each.task) for each in members]
    found, inferers = in_smaller_pieces(average, [each.inferer for each in members], shapes, name)
    return found, [replace(each, inferer=new) for each, new in zip(members, inferers, strict=True)]


def segment_all_within(
    image: Volume, members: Sequence[Member], plan: MemoryPlan, name: str, timings: Timings, of: str | None = None
) -> tuple[Volume, list[Member]]:
    """As `segment_within` for one network, or for several that see the image differently."""
    if len(members) == 1:
        labels, member = segment_within(image, members[0], plan, name, timings, of=of)
        return labels, [member]
    (result, record), members = mix_within(image, members, plan, name, timings, of=of)
    return restore(result, record, members[0].task, timings), members
