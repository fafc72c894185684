"""PyTorch's half of the comparison of networks; a process of its own.

Reads a file of arrays (the network's name and arguments, its weights, a batch), writes logits and loss beside it.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch

from benchmarks import torch_nets
from benchmarks.train_torch import dice_ce


def main() -> None:
    """Answer for the file that the command line names."""
    with np.load(sys.argv[1]) as archive:
        content = {name: archive[name] for name in archive.files}
    name, arguments = json.loads(str(content.pop("network")))
    image, label = torch.from_numpy(content.pop("image")), torch.from_numpy(content.pop("label"))
    model = getattr(torch_nets, name)(**arguments).eval()
    weights = {key: torch.from_numpy(value) for key, value in content.items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    lacking = [key for key in missing if not key.endswith("num_batches_tracked")]
    logits = model(image)
    loss = dice_ce(logits, label)
    loss.backward()
    gradients = {f"gradient.{key}": value.grad.numpy() for key, value in model.named_parameters()}
    np.savez(
        sys.argv[2],
        logits=logits.detach().numpy(),
        loss=loss.item(),
        parameters=sum(value.numel() for value in model.parameters()),
        strangers=np.array([*lacking, *unexpected], dtype=str),
        **gradients,
    )


if __name__ == "__main__":
    main()
