"""From a volume to labels: preprocessing, the network, sliding windows, and the way back to the original grid."""

from medicalseg.inference.argmax import argmax_classes
from medicalseg.inference.decision import Decision
from medicalseg.inference.ensemble import Ensemble
from medicalseg.inference.inference_helper import InferenceHelper, InferenceHelper2D
from medicalseg.inference.mirroring import Mirrored
from medicalseg.inference.network import EagerNetwork, Network
from medicalseg.inference.nnformer_helper import NNFormerInferenceHelper
from medicalseg.inference.pipeline import segment, segment_batch
from medicalseg.inference.preprocess import GridRecord, Preprocessing
from medicalseg.inference.slice_wise import SliceWise, inferer_for
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.sliding_window import Inferer, SlidingWindow, WholeVolume
from medicalseg.inference.task import TaskSpec
from medicalseg.inference.timings import Timings

__all__ = [
    "Decision",
    "EagerNetwork",
    "Ensemble",
    "GridRecord",
    "InferenceHelper",
    "InferenceHelper2D",
    "Inferer",
    "Mirrored",
    "NNFormerInferenceHelper",
    "Network",
    "Preprocessing",
    "SliceSpec",
    "SliceWise",
    "SlidingWindow",
    "TaskSpec",
    "Timings",
    "WholeVolume",
    "argmax_classes",
    "inferer_for",
    "segment",
    "segment_batch",
]
