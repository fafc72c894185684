"""Start a network from other weights: of another task, of its encoder alone, or for another number of channels."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medicalseg.errors import CheckpointError
from medicalseg.utils import checkpoint, weights, weights_archive, weights_store
from medicalseg.utils.files import file_hash
from medicalseg.utils.fit import Fit, listing
from medicalseg.utils.logger import logger

if TYPE_CHECKING:
    import paddle

ENCODER = "backbone."
_CHECKSUM = re.compile(r"#(sha256|sha1|md5)=([0-9a-fA-F]+)$")


def load_pretrained(model: paddle.nn.Layer, source: str | os.PathLike[str]) -> None:
    """Load what fits by name and shape, adapt the first convolution of an image network, log the rest.

    Weights of a whole network load into its encoder and the other way round: the prefix `backbone.` is added or taken
    off where more names fit so.

    Args:
        model: network to fill, in place.
        source: a `.pdparams` file, a checkpoint folder, an archive that holds one `.pdparams`, the http(s) address of
            such a file or archive, or the name of published weights (`medicalseg weights list`). `#sha256=HEX` or
            `#md5=HEX` behind it is the checksum of the file that is read or fetched. A download is kept in
            `$SEG_HOME/pretrained_model` (default `~/.paddleseg/pretrained_model`) and used again as long as it is what
            was fetched.

    Raises:
        CheckpointError: the file is missing, unsafe, has another checksum, or nothing in it fits.
        DataError: what was fetched has another checksum, or the archive cannot be unpacked.
        RunError: the server cannot be reached.
    """
    text, checksum = split_checksum(os.fspath(source))
    path = _file_of(text, checksum)
    logger.info("Loading pretrained model from %s", text)
    own = model.state_dict()
    state = with_names_of(own, checkpoint.load_state(path))
    state = with_channels_of(own, state)
    fit, name = Fit.of(own, state), type(model).__name__
    if not fit.fitting:
        raise CheckpointError(f"nothing in {path} fits {name}: {fit.problems}")
    checkpoint.assign(model, fit.fitting)
    _report(fit)
    logger.info("There are %d/%d variables loaded into %s.", len(fit.fitting), len(own), name)


def pretrained_keys(block: Mapping[str, Any], path: str) -> list[str]:
    """Paths of the keys that name pretrained weights, in a configuration's block and the blocks in it.

    Example:
        >>> pretrained_keys({"backbone": {"pretrained": "m.pdparams"}, "pretrained": None}, "model")
        ['model.backbone.pretrained']
    """
    found = []
    for key, value in block.items():
        if isinstance(value, Mapping):
            found += pretrained_keys(value, f"{path}.{key}")
        elif "pretrained" in str(key) and value:
            found.append(f"{path}.{key}")
    return found


def split_checksum(source: str) -> tuple[str, str | None]:
    """`("PATH", "sha256:HEX")` of `PATH#sha256=HEX`; None where there is no checksum.

    Example:
        >>> split_checksum("m.pdparams#md5=d41d8cd98f00b204e9800998ecf8427e")
        ('m.pdparams', 'md5:d41d8cd98f00b204e9800998ecf8427e')
    """
    found = _CHECKSUM.search(source)
    if found is None:
        return source, None
    return source[: found.start()], f"{found[1]}:{found[2].lower()}"


def with_names_of(own: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """`state` under the names it has, or with the encoder's prefix added or taken off: whatever most of `own` has."""
    inside = {key.removeprefix(ENCODER): value for key, value in state.items() if key.startswith(ENCODER)}
    candidates = (dict(state), {ENCODER + key: value for key, value in state.items()}, inside)
    return max(candidates, key=lambda candidate: len(own.keys() & candidate.keys()))


def with_channels_of(own: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """`state` with the weight of the first 2D convolution for as many channels as `own` has there."""
    for key, tensor in own.items():
        shape, value = list(tensor.shape), state.get(key)
        if len(shape) != 4:
            continue
        if not isinstance(value, np.ndarray) or value.ndim != 4 or value.dtype.kind != "f":
            return state
        outputs, channels, *kernel = value.shape
        if [outputs, *kernel] != [shape[0], *shape[2:]] or channels == shape[1]:
            return state
        logger.info("%s: %d channels become %d.", key, channels, shape[1])
        return {**state, key: adapted(value, shape[1])}
    return state


def adapted(weight: np.ndarray, channels: int) -> np.ndarray:
    """A convolution's weight (O, I, H, W) for images of `channels` channels.

    One channel gets the sum over the old ones, so a grey image gives what its copies in all channels gave. More
    repeat the old ones in turn, scaled by I / channels, so the response keeps its size.
    """
    count = weight.shape[1]
    if channels == 1:
        return weight.sum(axis=1, keepdims=True, dtype=np.float64).astype(weight.dtype)
    repeated = weight[:, np.arange(channels) % count]
    return (repeated * (count / channels)).astype(weight.dtype)


def _report(fit: Fit) -> None:
    if fit.missing:
        logger.warning("not loaded, since they are missing in the file: %s", listing(list(fit.missing)))
    if fit.shapes:
        shapes = [f"{key} {there} for {here}" for key, (there, here) in fit.shapes.items()]
        logger.warning("not loaded, since their shape differs: %s", listing(shapes))
    if fit.extra:
        logger.info("skipped, since the network has no such layers: %s", listing(fit.extra))


def _file_of(text: str, checksum: str | None) -> Path:
    if text.startswith(("http://", "https://")):
        return weights_archive.unpacked(weights_store.fetch(text, checksum=checksum, source=weights.mirrored(text)))
    entry = None if Path(text).exists() else weights.find(text)
    return _local(text, checksum) if entry is None else weights.fetch(entry, checksum=checksum)


def _local(text: str, checksum: str | None) -> Path:
    archive = text.endswith(weights_archive.ARCHIVES) and Path(text).is_file()
    path = Path(text) if archive else checkpoint.weights_file(text)
    if checksum is not None:
        kind, digest = checksum.split(":")
        found = file_hash(path, kind)
        if found != digest:
            raise CheckpointError(f"{path}: {kind} is {found}, expected {digest}; is it the right file?")
    if not archive:
        return path
    return weights_archive.unpacked_into(path, weights_store.home() / "unpacked" / file_hash(path, "md5"))
