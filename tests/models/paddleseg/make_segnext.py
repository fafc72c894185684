"""Writes `segnext.json` beside this file: what PaddleSeg 2.8.0 says of SegNeXt and MSCAN.

Run with paddlepaddle 2.6.2, numpy < 2 and paddleseg 2.8.0 installed (`import cv2` first; the other order crashes).
Weights, bases and images come from NumPy's `RandomState`, whose numbers never change, so that a test can draw the same.
"""

import copy
import hashlib
import json
from pathlib import Path

import cv2  # noqa: F401
import numpy as np
import paddle
import paddleseg.models  # noqa: F401
from paddleseg.cvlibs import manager

BACKBONES, MODELS = manager.BACKBONES, manager.MODELS
WIDTHS = {"T": 256, "S": 256, "B": 512, "L": 1024}


def noise(seed, shape):
    return np.random.RandomState(seed).standard_normal(shape)


def weight(index, key, shape):
    w = noise(index, shape)
    if "layer_scale" in key:
        return (0.3 + 0.1 * w).astype("float32")
    if len(shape) == 4:
        return (w / np.sqrt(np.prod(shape[1:]))).astype("float32")
    if key.endswith("_variance"):
        return (1 + 0.3 * np.abs(w)).astype("float32")
    return (1 + 0.1 * w if key.endswith("weight") else 0.1 * w).astype("float32")


def bases(shape, *args, **kwargs):
    return paddle.to_tensor(np.abs(noise(9001, [1, *shape[1:]])).astype("float32")).expand(shape)


def digest(state):
    text = "".join(f"{key} {list(value.shape)}\n" for key, value in state.items())
    return hashlib.sha256(text.encode()).hexdigest()


def trainable(model):
    return sum(int(p.size) for p in model.parameters() if not p.stop_gradient)


def network(size, in_channels, num_classes):
    decoder = {"channels": WIDTHS[size], "ham_channels": WIDTHS[size], "ham_kwargs": {"MD_R": 16}}
    return MODELS["SegNeXt"](BACKBONES[f"MSCAN_{size}"](in_channels=in_channels), decoder, num_classes)


def counts(size):
    encoder, one, three = BACKBONES[f"MSCAN_{size}"](in_channels=1), network(size, 1, 1), network(size, 3, 150)
    return {
        "encoder": trainable(encoder),
        "1 channel, 1 class": trainable(one),
        "3 channels, 150 classes": trainable(three),
        "keys": len(one.state_dict()),
        "sha256": digest(one.state_dict()),
        "encoder_sha256": digest(encoder.state_dict()),
    }


def sample(output):
    at = np.linspace(0, output.size - 1, 24).astype(int).tolist()
    flat = output.astype("float64").reshape(-1)
    return {
        "shape": list(output.shape),
        "at": at,
        "values": [round(float(flat[i]), 6) for i in at],
        "mean": float(flat.mean()),
        "std": float(flat.std()),
    }


def golden(shape, backbone, decoder, training, **arguments):
    paddle.seed(0)
    encoder = BACKBONES[backbone["type"]](**{key: value for key, value in backbone.items() if key != "type"})
    model = MODELS["SegNeXt"](encoder, copy.deepcopy(decoder), **arguments)
    state = model.state_dict()
    model.set_state_dict({key: weight(i, key, list(value.shape)) for i, (key, value) in enumerate(state.items())})
    (model.train if training else model.eval)()
    x = paddle.to_tensor(noise(9002, shape).astype("float32"))
    drawn, paddle.rand = paddle.rand, bases
    try:
        with paddle.no_grad():
            output = model(x)[0].numpy()
    finally:
        paddle.rand = drawn
    model = {"type": "SegNeXt", "backbone": backbone, "decoder_cfg": decoder, **arguments}
    return {"model": model, "input_shape": shape, "training": training, "output": sample(output)}


def main():
    small = {
        "type": "MSCAN",
        "in_channels": 2,
        "embed_dims": [8, 12, 16, 20],
        "depths": [1, 2, 1, 1],
        "mlp_ratios": [2, 3, 2, 2],
        "atten_kernel_sizes": [5, 9],
        "drop_path_rate": 0.0,
    }
    decoder = {"channels": 12, "ham_channels": 24, "num_groups": 4, "dropout_rate": 0.0, "align_corners": True}
    wide = {"channels": 256, "ham_channels": 256, "ham_kwargs": {"MD_R": 16}}
    content = {
        "made_with": {"paddleseg": "2.8.0", "paddlepaddle": paddle.__version__},
        "sizes": {size: counts(size) for size in WIDTHS},
        "keys_of_T": [[key, list(value.shape)] for key, value in network("T", 1, 1).state_dict().items()],
        "golden": [
            golden([2, 1, 70, 45], {"type": "MSCAN_T", "in_channels": 1}, wide, False, num_classes=2),
            golden([2, 2, 41, 64], small, decoder, False, num_classes=3),
            golden([2, 2, 64, 72], small, decoder, True, num_classes=3),
        ],
    }
    text = json.dumps(content, indent=1)
    target = Path(__file__).with_name("segnext.json")
    target.write_text(compact(text) + "\n")


def compact(text):
    """Lists of numbers and strings on one line each."""
    import re

    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s+", " ", found.group()), text)


if __name__ == "__main__":
    main()
