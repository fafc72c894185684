"""Writes segformer.json: keys, shapes, counts and a few output numbers of PaddleSeg's SegFormer.

Runs where paddlepaddle 2.6.2 and paddleseg 2.8.0 are installed: `python make_segformer.py ../shared/compat`, the folder
with golden_formula.py.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

WIDTHS = {"B0": 256, "B1": 256, "B2": 768, "B3": 768, "B4": 768, "B5": 768}
CASES = (
    ("B0", 3, 4, False, (2, 3, 64, 96)),
    ("B0", 1, 2, True, (1, 1, 70, 45)),
    ("B1", 3, 2, False, (1, 3, 40, 64)),
)
MADE_WITH = "paddleseg 2.8.0, paddlepaddle 2.6.2; weights and inputs by the formula of tests/models/golden.py, seed 0"


def network(size: str, channels: int, classes: int, align_corners: bool = False) -> Any:
    """PaddleSeg's SegFormer."""
    import cv2  # noqa: F401 (before paddle, which crashes otherwise)
    import paddleseg.models  # noqa: F401
    from paddleseg.cvlibs import manager

    backbone = manager.BACKBONES[f"MixVisionTransformer_{size}"](in_channels=channels)
    return manager.MODELS["SegFormer"](
        num_classes=classes, backbone=backbone, embedding_dim=WIDTHS[size], align_corners=align_corners
    )


def entries(model: Any) -> list[list[Any]]:
    """Keys and shapes of the state dict, in order."""
    return [[key, list(value.shape)] for key, value in model.state_dict().items()]


def facts(size: str) -> dict[str, Any]:
    """Number of entries, and by channels and classes a hash of keys and shapes and the trainable numbers."""
    found: dict[str, Any] = {}
    for channels, classes in ((1, 1), (3, 150)):
        model = network(size, channels, classes)
        listed = entries(model)
        found["entries"] = len(listed)
        found[f"sha256_{channels}_{classes}"] = hashlib.sha256(json.dumps(listed).encode()).hexdigest()
        trainable = sum(int(p.size) for p in model.parameters() if not p.stop_gradient)
        found[f"trainable_{channels}_{classes}"] = trainable
    return found


def numbers(size: str, channels: int, classes: int, align_corners: bool, shape: tuple[int, ...]) -> dict[str, Any]:
    """A digest of the logits and of the encoder's maps."""
    import paddle
    from golden_formula import digest, fill, make_input

    model = network(size, channels, classes, align_corners)
    state = model.state_dict()
    model.set_state_dict({key: fill(i, key, value.shape) for i, (key, value) in enumerate(state.items())})
    model.eval()
    x = paddle.to_tensor(make_input(shape))
    with paddle.no_grad():
        output, maps = model(x)[0].numpy(), [level.numpy() for level in model.backbone(x)]
    return {
        "size": size, "in_channels": channels, "num_classes": classes, "align_corners": align_corners,
        "input_shape": list(shape), "output": rounded(digest(output, 16)),
        "maps": [rounded(digest(level, 6)) for level in maps],
    }  # fmt: skip


def rounded(found: dict[str, Any]) -> dict[str, Any]:
    """Six decimals are below the tolerance."""
    mean, std = round(found["mean"], 6), round(found["std"], 6)
    return {**found, "mean": mean, "std": std, "values": [round(value, 6) for value in found["values"]]}


def main() -> None:
    """Write the file beside this one."""
    sys.path.insert(0, sys.argv[1])
    content = {
        "made_with": MADE_WITH,
        "state_dict_of_B0": entries(network("B0", 1, 1)),
        "variants": {size: facts(size) for size in WIDTHS},
        "cases": [numbers(*case) for case in CASES],
    }
    lines = []
    for key, value in content.items():
        if isinstance(value, list):
            body = ",\n".join("  " + json.dumps(item) for item in value)
            lines.append(f' "{key}": [\n{body}\n ]')
        elif isinstance(value, dict):
            body = ",\n".join(f'  "{name}": {json.dumps(item)}' for name, item in value.items())
            lines.append(f' "{key}": {{\n{body}\n }}')
        else:
            lines.append(f' "{key}": {json.dumps(value)}')
    target = Path(__file__).with_name("segformer.json")
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
