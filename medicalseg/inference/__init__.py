"""From a volume to labels: preprocessing, the network, sliding windows, and the way back to the original grid."""

from medicalseg.inference.network import EagerNetwork, Network, argmax_classes
from medicalseg.inference.pipeline import segment, segment_batch
from medicalseg.inference.preprocess import GridRecord, Preprocessing
from medicalseg.inference.sliding_window import Inferer, SlidingWindow, WholeVolume
from medicalseg.inference.task import TaskSpec
from medicalseg.inference.timings import Timings

__all__ = [
    "EagerNetwork",
    "GridRecord",
    "Inferer",
    "Network",
    "Preprocessing",
    "SlidingWindow",
    "TaskSpec",
    "Timings",
    "WholeVolume",
    "argmax_classes",
    "segment",
    "segment_batch",
]
