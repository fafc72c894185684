"""A training step in Paddle: the toolkit's, and eager Paddle's as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.batches import batch
from benchmarks.frame import Outcome, threads


def step(
    net: str,
    arguments: Mapping[str, Any],
    shape: Sequence[int],
    accelerated: bool = True,
    bf16: bool = False,
    allocator: bool = True,
    rate: float = 1e-4,
) -> Callable[[], Outcome]:
    """A function that takes one step of the toolkit's `Stepper`.

    Args:
        net: "vnet" or "unet3d" of the toolkit, or "nnunet" of `paddle_nets`.
        arguments: its arguments.
        shape: (N, C, X, Y, Z) of the batch.
        accelerated: through `medicalseg.ops`; False: Paddle's own layers with Paddle's own number of threads.
        bf16: bfloat16 in the accelerated layers.
        allocator: glibc's allocator told to keep large blocks.
        rate: learning rate of AdamW.
    """
    from medicalseg.ops import configure_process
    from medicalseg.ops.process import keep_large_blocks

    if accelerated:
        configure_process(threads())
    elif allocator:
        keep_large_blocks()
    import paddle

    from medicalseg.core.step import Precision, Stepper
    from medicalseg.losses import DiceCELoss
    from medicalseg.ops import accelerate, is_available

    paddle.seed(0)
    model = network(net, arguments)
    if accelerated:
        accelerate(model, "auto", bf16=bf16)
    model.train()
    optimizer = paddle.optimizer.AdamW(rate, parameters=model.parameters())
    stepper = Stepper(model, {"types": [DiceCELoss()], "coef": [1]}, optimizer, Precision())
    image, label = batch(shape, int(arguments["num_classes"]))
    numbers = iter(range(10**9))
    fast = accelerated and is_available()
    return lambda: Outcome({"loss": stepper(next(numbers), image, label).loss, "accelerated": fast})


def network(net: str, arguments: Mapping[str, Any]) -> Any:
    """The network in Paddle."""
    from benchmarks import paddle_nets
    from medicalseg import models

    makers: dict[str, Any] = {"vnet": models.VNet, "unet3d": models.UNet3D, "nnunet": paddle_nets.nnunet}
    return makers[net](**arguments)
