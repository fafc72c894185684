"""Weights and training state on disk, in the format of `paddle.save`, read without executing anything from the file.

A `.pdparams` or `.pdopt` file is a pickle. `load_state` reads it with an unpickler that knows containers, strings,
numbers and NumPy arrays and refuses everything else, so a downloaded checkpoint cannot run code.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medicalseg.errors import CheckpointError, RunError
from medicalseg.utils import files
from medicalseg.utils.fit import Fit
from medicalseg.utils.logger import logger
from medicalseg.utils.unpickle import RestrictedUnpickler

if TYPE_CHECKING:
    import paddle

MODEL_FILE = "model.pdparams"
OPTIMIZER_FILE = "model.pdopt"
META_FILE = "meta.json"
NAME_TABLE = "StructuredToParameterName@@"
BIG_ARRAYS = "UnpackBigParamInfor@@"
PROTOCOL = 4


def save_state(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a state dict so that `paddle.load` and `load_state` read it; the file appears whole or not at all.

    Args:
        path: the `.pdparams` or `.pdopt` file.
        state: strings to tensors, arrays, numbers, strings, or dicts and lists of them. Names of Paddle parameters
            are kept in the table that `paddle.save` writes too.

    Raises:
        RunError: the file cannot be written (full disk, no permission); the old one, if any, is untouched.
        CheckpointError: a value is of a kind that `load_state` would refuse.
    """
    content = {str(key): _plain(value, str(key)) for key, value in state.items()}
    names = {key: value.name for key, value in state.items() if _is_tensor(value)}
    if names and NAME_TABLE not in content:
        content[NAME_TABLE] = names
    try:
        with files.atomic_path(path) as temporary, open(temporary, "wb") as handle:
            pickle.dump(content, handle, protocol=PROTOCOL)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def load_state(path: str | os.PathLike[str], *, keep_names: bool = False) -> dict[str, Any]:
    """Read a file written by `save_state` or by `paddle.save` (Paddle 1.x to 3.x).

    Args:
        path: the `.pdparams` or `.pdopt` file.
        keep_names: also return Paddle's table of structured to automatic parameter names.

    Returns:
        Names to NumPy arrays (bfloat16 as uint16, as Paddle does), or to numbers, strings and containers of these.

    Raises:
        CheckpointError: missing, damaged, not a dict, or it holds something that is not plain data.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give the file in it, such as {path / MODEL_FILE}")
    try:
        with open(path, "rb") as handle:
            content = _without_tensor_tuples(RestrictedUnpickler(handle, str(path)).load())
        content = _join_big_arrays(content) if isinstance(content, dict) else content
    except FileNotFoundError:
        raise CheckpointError(f"no such checkpoint file: {path}") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except CheckpointError:
        raise
    except (pickle.UnpicklingError, *_DAMAGED) as error:
        raise CheckpointError(f"{path} is not a Paddle checkpoint, or it is damaged: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict")
    if not keep_names:
        content.pop(NAME_TABLE, None)
    return content


_DAMAGED = (
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ImportError,
    UnicodeDecodeError,
    OverflowError,
    MemoryError,
    LookupError,
    RecursionError,
)


def weights_file(path: str | os.PathLike[str]) -> Path:
    """The weights that `path` means: the file itself, or `model.pdparams` in a checkpoint folder.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(path)
    candidate = path / MODEL_FILE if path.is_dir() else path
    if not candidate.is_file():
        inside = sorted(path.parent.name for path in candidate.parent.glob(f"*/{MODEL_FILE}"))
        hint = f"; {candidate.parent} has {', '.join(inside)}" if inside else _published_hint(str(path))
        raise CheckpointError(f"no weights at {candidate}; give a {MODEL_FILE} or the folder that holds it{hint}")
    return candidate


def _published_hint(name: str) -> str:
    from medicalseg.utils import weights

    if weights.find(name) is None:
        return "" if "/" in name else weights.nearest_name(name)
    return f"; `medicalseg weights get {name}` fetches these published weights and prints where they are"


def read_meta(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The `meta.json` that lies beside the weights (task, config, versions, iteration, metric), or None.

    Raises:
        CheckpointError: it exists and is not a JSON object.
    """
    path = Path(path)
    meta = (path if path.is_dir() else path.parent) / META_FILE
    if not meta.is_file():
        return None
    return files.read_json_object(meta, CheckpointError)


def load_model_weights(model: paddle.nn.Layer, path: str | os.PathLike[str], strict: bool = True) -> None:
    """Load the weights of one training run into the network of the same configuration.

    Args:
        model: network to fill, in place.
        path: a `.pdparams` file or a checkpoint folder.
        strict: every key must be there with its shape, and none besides.

    Raises:
        CheckpointError: the file does not fit; the message lists keys and shapes.
    """
    path = weights_file(path)
    state = load_state(path)
    fit = Fit.of(model.state_dict(), state)
    if not fit.complete and strict:
        raise CheckpointError(f"{path} does not fit {type(model).__name__}: {fit.problems}{fit.hint(model)}")
    if not fit.complete:
        logger.warning("%s fits %s in part: %s", path, type(model).__name__, fit.problems)
    assign(model, fit.fitting)


def load_pretrained(model: paddle.nn.Layer, path_or_url: str | os.PathLike[str]) -> None:
    """Start from other weights: load what fits, log the rest; see `medicalseg.utils.pretrained`.

    Args:
        model: network to fill, in place.
        path_or_url: a file, checkpoint folder, archive or address, `#sha256=HEX` behind it if wanted.

    Raises:
        CheckpointError: the file is missing, unsafe, or nothing in it fits.
    """
    from medicalseg.utils import pretrained

    pretrained.load_pretrained(model, path_or_url)


def assign(model: paddle.nn.Layer, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the named tensors of `model.state_dict()` to `arrays`, keeping each tensor's type."""
    import paddle

    own = model.state_dict()
    for key, array in arrays.items():
        value = paddle.to_tensor(array)
        own[key].set_value(value if value.dtype == own[key].dtype else value.astype(own[key].dtype))


def rename_optimizer_state(
    state: Mapping[str, Any], saved_names: Mapping[str, str], own_names: Mapping[str, str]
) -> dict[str, Any]:
    """Move optimizer state from the automatic parameter names of one process to those of another.

    Paddle names accumulators after automatic parameter names (`conv3d_0.w_0_velocity_0`), which depend on how many
    layers were created before. The names of the state dict (`in_tr.conv1.weight`) do not.

    Args:
        state: content of `model.pdopt`.
        saved_names: state dict key to automatic name when it was saved (the table in `model.pdparams`).
        own_names: the same for the parameters now.

    Raises:
        CheckpointError: state of a parameter that the network does not have.
    """
    new_by_old = {old: own_names[key] for key, old in saved_names.items() if key in own_names}
    renamed: dict[str, Any] = {}
    for key, value in state.items():
        if key == "master_weights":
            renamed[key] = {_renamed(name, new_by_old): weight for name, weight in value.items()}
        elif isinstance(value, np.ndarray):
            renamed[_renamed(key, new_by_old)] = value
        else:
            renamed[key] = value
    return renamed


def _renamed(key: str, new_by_old: Mapping[str, str]) -> str:
    owners = [old for old in new_by_old if key == old or key.startswith(old + "_")]
    if not owners:
        raise CheckpointError(f"the optimizer state '{key}' belongs to no parameter of this network")
    old = max(owners, key=len)
    return new_by_old[old] + key[len(old) :]


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "numpy") and hasattr(value, "name") and hasattr(value, "stop_gradient")


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if _is_tensor(value):
        return np.asarray(value.numpy())
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return np.asarray(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise CheckpointError(f"cannot save '{where}': {type(value).__name__} is neither a number, a string nor an array")


def _without_tensor_tuples(value: Any) -> Any:
    """Undo `paddle.save`'s (name, array) pairs."""
    if isinstance(value, tuple):
        if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], np.ndarray):
            return value[1]
        return tuple(_without_tensor_tuples(item) for item in value)
    if isinstance(value, list):
        return [_without_tensor_tuples(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_tensor_tuples(item) for key, item in value.items()}
    return value


def _join_big_arrays(content: dict[str, Any]) -> dict[str, Any]:
    """Undo the cutting of arrays over 1 GB that `paddle.save` does with pickle protocols 2 and 3."""
    for name, info in (content.pop(BIG_ARRAYS, None) or {}).items():
        parts = [content.pop(part) for part in info["slices"]]
        content[name] = np.concatenate(parts).reshape(info["OriginShape"])
    return content
