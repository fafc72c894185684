"""Several processes that train one network: rank, sums, gathering, gradients.

Everything is the identity in one process. Gradients are averaged over the ranks after the backward pass, in the order
of the parameters, so every rank takes the same step whatever the backend is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from medicalseg.errors import RunError, UserError
from medicalseg.utils.logger import logger

if TYPE_CHECKING:
    import paddle

Item = TypeVar("Item")
BACKENDS = ("auto", "gloo", "nccl", "bkcl")
_state: dict[str, Any] = {"started": False}


def rank() -> int:
    """Number of this process, 0 for the first or only one."""
    return int(os.environ.get("PADDLE_TRAINER_ID", "0"))


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))


def is_main() -> bool:
    """Whether this process writes files and log lines."""
    return rank() == 0


def is_active() -> bool:
    """Whether the processes are connected, so that sums go over all of them."""
    return _state["started"] and world_size() > 1


def init(backend: str = "auto", device: str = "cpu") -> None:
    """Connect the processes that `paddle.distributed.launch` started; nothing to do for one.

    Args:
        backend: gloo (CPU), nccl (CUDA), bkcl (XPU), or auto: by device.
        device: the device that this run computes on.

    Raises:
        UserError: the backend does not fit the device.
        RunError: the ranks do not find each other.
    """
    if backend not in BACKENDS:
        raise UserError(f"--backend {backend}: choose from {', '.join(BACKENDS)}")
    if world_size() < 2 or _state["started"]:
        return
    import paddle

    kind = device.split(":")[0]
    chosen = {"cpu": "gloo", "gpu": "nccl", "xpu": "bkcl"}[kind] if backend == "auto" else backend
    if (chosen == "gloo") != (kind == "cpu"):
        raise UserError(f"--backend {chosen} does not work on device '{device}'; leave it at auto")
    os.environ["PADDLE_DISTRI_BACKEND"] = chosen
    try:
        paddle.distributed.init_parallel_env()
    except (RuntimeError, ValueError, OSError) as error:
        raise RunError(f"rank {rank()} of {world_size()} cannot join the others: {error}") from error
    _state["started"] = True
    logger.info("%d ranks connected by %s.", world_size(), chosen)


def barrier() -> None:
    """Wait until every rank is here."""
    if is_active():
        import paddle

        paddle.distributed.all_reduce(paddle.zeros([1]))


def all_reduce_sum(tensor: paddle.Tensor) -> paddle.Tensor:
    """Sum of `tensor` over the ranks, differentiable; the tensor itself in one process.

    The gradient is summed over the ranks too. Since `average_gradients` divides by their number afterwards, a loss
    made of such sums gets the gradient that one process with the whole batch would compute.
    """
    if not is_active():
        return tensor
    return _all_reduce_layer().apply(tensor)


def _all_reduce_layer() -> Any:
    if "layer" not in _state:
        import paddle

        def summed(value: Any) -> Any:
            total = value.detach().clone()
            paddle.distributed.all_reduce(total)
            return total

        class AllReduceSum(paddle.autograd.PyLayer):
            @staticmethod
            def forward(ctx: Any, value: Any) -> Any:
                return summed(value)

            @staticmethod
            def backward(ctx: Any, gradient: Any) -> Any:
                return summed(gradient)

        _state["layer"] = AllReduceSum
    return _state["layer"]


def gather_objects(item: Item) -> list[Item]:
    """The items of all ranks in rank order, on every rank. Items may be any Python objects."""
    if not is_active():
        return [item]
    import paddle

    gathered: list[Item] = []
    paddle.distributed.all_gather_object(gathered, item)
    return gathered


def from_main(value: float) -> float:
    """The number of rank 0, on every rank."""
    if not is_active():
        return value
    import paddle

    tensor = paddle.to_tensor([value], dtype="float64")
    paddle.distributed.broadcast(tensor, src=0)
    return float(tensor.numpy()[0])


def shard(items: Sequence[Item]) -> list[Item]:
    """This rank's share of `items`: every `world_size`-th; nothing is padded or repeated."""
    return list(items[rank() :: world_size()]) if is_active() else list(items)


def average_gradients(parameters: Iterable[paddle.Tensor]) -> None:
    """Replace each gradient by its mean over the ranks.

    A parameter that has a gradient on no rank keeps none, so parameters that a network does not use neither stop the
    ranks nor drift by weight decay.
    """
    if not is_active():
        return
    import paddle

    trainable = [parameter for parameter in parameters if not parameter.stop_gradient]
    used = paddle.to_tensor([0.0 if parameter.grad is None else 1.0 for parameter in trainable])
    paddle.distributed.all_reduce(used)
    together = [parameter for parameter, count in zip(trainable, used.tolist(), strict=True) if count > 0]
    for dtype in sorted({str(parameter.dtype) for parameter in together}):
        _average([parameter for parameter in together if str(parameter.dtype) == dtype])


def _average(parameters: list[paddle.Tensor]) -> None:
    import paddle

    with paddle.no_grad():
        flat = paddle.concat([_gradient(parameter).flatten() for parameter in parameters])
        paddle.distributed.all_reduce(flat)
        flat = flat / world_size()
        start = 0
        for parameter in parameters:
            size = int(parameter.size)
            mean = flat[start : start + size].reshape(parameter.shape)
            start += size
            if parameter.grad is None:
                parameter.grad = mean
            else:
                parameter.grad.set_value(mean)


def _gradient(parameter: paddle.Tensor) -> paddle.Tensor:
    import paddle

    return paddle.zeros_like(parameter) if parameter.grad is None else parameter.grad


def synchronize(model: paddle.nn.Layer) -> None:
    """Give every rank the parameters and buffers of rank 0."""
    if is_active():
        import paddle

        for tensor in model.state_dict().values():
            paddle.distributed.broadcast(tensor, src=0)


def average_buffers(model: paddle.nn.Layer) -> None:
    """Replace floating buffers (running statistics of batch norm) by their mean over the ranks."""
    if not is_active():
        return
    import paddle

    trainable = {id(parameter) for parameter in model.parameters() if not parameter.stop_gradient}
    for tensor in model.state_dict().values():
        if id(tensor) not in trainable and paddle.is_floating_point(tensor):
            total = tensor.detach().clone()
            paddle.distributed.all_reduce(total)
            tensor.set_value(total / world_size())
