"""Paddle Inference for the tests of networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from paddle import inference


def exported_graph(prefix: Path) -> Path:
    """The graph of the network saved as `prefix`, in either Paddle's format."""
    graph = prefix.with_suffix(".json")
    return graph if graph.exists() else prefix.with_suffix(".pdmodel")


def run_exported(prefix: Path, x: np.ndarray, onednn: bool = False) -> list[np.ndarray]:
    """Outputs of Paddle Inference for the network saved as `prefix`, see `run_in_turn`."""
    return run_in_turn(prefix, [x], onednn)[0]


def run_in_turn(prefix: Path, images: list[np.ndarray], onednn: bool = False) -> list[list[np.ndarray]]:
    """Outputs for each image in one predictor, none of them in its first run, from which oneDNN keeps what it can."""
    config = inference.Config(str(exported_graph(prefix)), str(prefix.with_suffix(".pdiparams")))
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(1)
    if onednn:
        config.enable_mkldnn()
    elif hasattr(config, "disable_mkldnn"):
        config.disable_mkldnn()
    predictor = inference.create_predictor(config)
    found = []
    for content in (-images[0], *images):
        predictor.get_input_handle(predictor.get_input_names()[0]).copy_from_cpu(np.ascontiguousarray(content))
        predictor.run()
        found.append([predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()])
    return found[1:]
