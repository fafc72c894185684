"""Which files are the channels of one image: numbered as nnU-Net does, or contrasts as BIDS names them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medicalseg.io import case_name
from medicalseg.io.bids_name import BidsName
from medicalseg.io.image_file import has_colours
from medicalseg.utils.logger import logger

CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")


@dataclass(frozen=True)
class ChannelGroup:
    """Files of one image in the order of its channels, or a single file.

    Attributes:
        name: of the case.
        files: at least one.
        fault: why they are no image for the network; None = they are.
    """

    name: str
    files: tuple[Path, ...]
    fault: str | None = None


def channel_groups(paths: Sequence[Path], in_channels: int, contrasts: Sequence[str] = ()) -> list[ChannelGroup]:
    """Put files together; see `medicalseg.inference.inputs.find_inputs`."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        match = CHANNEL.match(case_name(path))
        contrast = BidsName.of(path) if in_channels > 1 and not match and not path.is_dir() else None
        name = contrast.case if contrast is not None and contrast.is_bids else case_name(path)
        groups.setdefault((path.parent, match["case"] if match else name), []).append(path)
    found: list[ChannelGroup] = []
    for (_, name), files in groups.items():
        if contrasts and _are_contrasts(files, contrasts):
            found.append(_by_contrast(name, files, contrasts))
        elif _are_channels(files, in_channels):
            found.append(ChannelGroup(name, tuple(sorted(files, key=case_name))))
        else:
            found += [ChannelGroup(case_name(path), (path,)) for path in files]
    if not contrasts:
        _tell_other_contrasts(found)
    return found


def _are_contrasts(files: Sequence[Path], contrasts: Sequence[str]) -> bool:
    """Whether files are a subject's and not numbered; one of another contrast alone may hold all channels."""
    names = [BidsName.of(path) for path in files]
    numbered = all(CHANNEL.match(case_name(path)) for path in files)
    of_subject = all(name.is_bids and not name.is_label for name in names)
    return of_subject and not numbered and (len(files) > 1 or names[0].suffix in contrasts)


def _by_contrast(name: str, files: Sequence[Path], contrasts: Sequence[str]) -> ChannelGroup:
    """The files of the contrasts, in their order."""
    counts = Counter(BidsName.of(path).suffix for path in files)
    by_suffix = {BidsName.of(path).suffix: path for path in files}
    wrong = [f"no {each}" for each in contrasts if not counts[each]]
    wrong += [f"{counts[each]} files of {each}" for each in contrasts if counts[each] > 1]
    if wrong:
        listed = ", ".join(sorted(path.name for path in files))
        fault = f"{files[0].parent / name}: has {', '.join(wrong)} ({listed}); the network takes {', '.join(contrasts)}"
        return ChannelGroup(name, tuple(files), fault)
    others = sorted(set(counts) - set(contrasts))
    if others:
        logger.info("%s: %s not used: the network takes %s.", name, ", ".join(others), ", ".join(contrasts))
    return ChannelGroup(name, tuple(by_suffix[each] for each in contrasts))


def _are_channels(files: Sequence[Path], in_channels: int) -> bool:
    """Whether files of one name are channels of one image, rather than images that are numbered likewise."""
    matches = [CHANNEL.match(case_name(path)) for path in files]
    contrasts = [BidsName.of(path) for path in files]
    if 1 < in_channels == len(files) and all(name.is_bids and not name.is_label for name in contrasts):
        return True
    if in_channels == 1 or not all(match and int(match["channel"]) < in_channels for match in matches):
        return False
    return not has_colours(files[0])


def _tell_other_contrasts(groups: Sequence[ChannelGroup]) -> None:
    """Warn where subjects have different contrasts and nothing says which ones the network knows."""
    kinds: dict[tuple[str, ...], str] = {}
    for group in groups:
        names = [BidsName.of(path) for path in group.files]
        if len(names) > 1 and all(name.is_bids for name in names):
            kinds.setdefault(tuple(name.suffix for name in names), group.name)
    if len(kinds) > 1:
        said = "; ".join(f"{name}: {', '.join(kind)}" for kind, name in kinds.items())
        logger.warning("Cases have different contrasts, and the model does not say which it was trained on: %s.", said)
