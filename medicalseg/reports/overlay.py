"""A picture of one case: reference, prediction and where they differ, seen as a radiologist would hold it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from medicalseg.errors import DataError
from medicalseg.utils.colours import class_colour
from medicalseg.utils.files import atomic_path

PICTURES = ("best", "median", "worst")
OPACITY = 0.5
THICK_SLICES = 1.5
PANEL_HEIGHT = 5.2
MIDDLE_GREY = 0.5
DIFFERENCES = {
    "missed (reference only)": ((0.20, 0.45, 1.00), 0.8),
    "extra (prediction only)": ((1.00, 0.20, 0.15), 0.8),
    "another class": ((1.00, 0.85, 0.10), 0.8),
    "agreement": ((0.10, 0.75, 0.25), 0.5),
}
# Image up and image left, by the axis that is looked along: the usual radiological display.
DISPLAY = {"LR": ("S", "A"), "AP": ("S", "R"), "IS": ("A", "R")}
OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}


@dataclass(frozen=True)
class View:
    """Which slice is shown and how: `axis` and `index` of the array, then transpose and flips to stand upright."""

    axis: int
    index: int
    transpose: bool
    flip_rows: bool
    flip_columns: bool
    aspect: float
    up: str
    left: str

    def slice(self, array: np.ndarray) -> np.ndarray:
        """The (rows, columns) picture of an (X, Y, Z) array."""
        picture = np.take(array, self.index, axis=self.axis)
        picture = picture.T if self.transpose else picture
        return picture[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


def write_overlay(
    path: str | os.PathLike[str],
    image: np.ndarray,
    reference: np.ndarray,
    prediction: np.ndarray,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    axcodes: str | None = "RAS",
    names: Mapping[int, str] | None = None,
    title: str = "",
    ignore_index: int | None = 255,
) -> None:
    """Write a PNG with three panels: image with reference, image with prediction, differences.

    The slice with most foreground in the reference is shown (in the prediction, if the reference has none). It is
    taken along the thick-slice axis if there is one, else along the axis that shows most classes.

    Args:
        path: PNG file, written atomically.
        image: (X, Y, Z) intensities.
        reference: (X, Y, Z) class ids.
        prediction: (X, Y, Z) class ids.
        spacing: mm, for the proportions.
        axcodes: where the array's axes point to, e.g. "RAS", so that the patient stands upright; None: a picture, of
            which that is not known, with columns and rows.
        names: class names for the legend.
        title: heading, e.g. the case and its Dice.
        ignore_index: id of the reference that is not drawn.

    Raises:
        DataError: if the arrays differ in shape or are not 3D.
    """
    if image.ndim != 3 or not image.shape == reference.shape == prediction.shape:
        shapes = f"image {image.shape}, reference {reference.shape}, prediction {prediction.shape}"
        raise DataError(f"an overlay needs three (X, Y, Z) arrays of one shape, got {shapes}")
    reference = np.where(reference == (-1 if ignore_index is None else ignore_index), 0, reference)
    view = choose_view(reference if reference.any() else prediction, spacing, axcodes)
    grey = _grey(view.slice(image), image)
    true, predicted = view.slice(reference), view.slice(prediction)
    figure = _figure(view, grey.shape, title, axcodes)
    panels = figure.subplots(1, 3)
    _show(panels[0], _paint(grey, true), view, "reference")
    _show(panels[1], _paint(grey, predicted), view, "prediction")
    _show(panels[2], _paint_differences(grey, true, predicted), view, "difference")
    _difference_legend(panels[2])
    _legend(figure, sorted({*np.unique(true).tolist(), *np.unique(predicted).tolist()} - {0}), names or {})
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def choose_view(labels: np.ndarray, spacing: Sequence[float], axcodes: str | None = "RAS") -> View:
    """The most telling slice of a label volume, and how to turn it upright; of a picture (axcodes None) its rows."""
    if axcodes is None:
        return replace(choose_view(labels, spacing, "LPS"), up="", left="")
    axis = _slice_axis(labels, spacing)
    index = _fullest(labels, axis)
    first, second = [a for a in range(3) if a != axis]
    up, left = DISPLAY["".join(sorted((axcodes[axis], OPPOSITE[axcodes[axis]])))]
    transpose = axcodes[first] not in (up, OPPOSITE[up])
    rows, columns = (second, first) if transpose else (first, second)
    return View(
        axis=axis,
        index=index,
        transpose=transpose,
        flip_rows=axcodes[rows] == up,
        flip_columns=axcodes[columns] == left,
        aspect=float(spacing[rows]) / float(spacing[columns]),
        up=up,
        left=left,
    )


def representative_cases(scores: np.ndarray, count: int) -> dict[str, int]:
    """Positions of the best, median and worst case by name; a case without score (NaN) is never taken.

    Of two cases one is the best, the other the worst; a single one is the best.

    Args:
        scores: one per case.
        count: how many of the three, from the best on.
    """
    order = [int(position) for position in np.argsort(-scores, kind="stable") if not np.isnan(scores[position])]
    if not order or count < 1:
        return {}
    chosen = dict(zip(PICTURES, (order[0], order[len(order) // 2], order[-1]), strict=True))
    if len(order) < 3:
        del chosen["median"]
    if len(order) < 2:
        del chosen["worst"]
    return dict(list(chosen.items())[:count])


def _slice_axis(labels: np.ndarray, spacing: Sequence[float]) -> int:
    flat = [axis for axis in range(3) if labels.shape[axis] == 1]
    if len(flat) == 1:
        return flat[0]
    thick = int(np.argmax(spacing))
    others = [spacing[axis] for axis in range(3) if axis != thick]
    if spacing[thick] > THICK_SLICES * max(others):
        return thick
    return max(range(3), key=lambda axis: _richness(labels, axis))


def _richness(labels: np.ndarray, axis: int) -> tuple[int, int]:
    plane = np.take(labels, _fullest(labels, axis), axis=axis)
    return len(np.unique(plane[plane > 0])), int(np.count_nonzero(plane))


def _fullest(labels: np.ndarray, axis: int) -> int:
    other = tuple(a for a in range(3) if a != axis)
    filled = np.count_nonzero(labels, axis=other)
    return int(np.argmax(filled)) if filled.any() else labels.shape[axis] // 2


def _grey(picture: np.ndarray, volume: np.ndarray) -> np.ndarray:
    sample = volume[tuple(slice(None, None, max(1, size // 64)) for size in volume.shape)]
    finite = sample[np.isfinite(sample)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    scaled = np.clip((np.nan_to_num(picture.astype(np.float32)) - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat(scaled[..., None], 3, axis=-1)


def _paint(grey: np.ndarray, labels: np.ndarray) -> np.ndarray:
    picture = grey.copy()
    for index in np.unique(labels[labels > 0]):
        _blend(picture, labels == index, class_colour(int(index)))
    return picture


def _paint_differences(grey: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    masks = (
        (true > 0) & (predicted == 0),
        (true == 0) & (predicted > 0),
        (true > 0) & (predicted > 0) & (true != predicted),
        (true > 0) & (true == predicted),
    )
    picture = grey.copy()
    for mask, (colour, opacity) in zip(masks, DIFFERENCES.values(), strict=True):
        _blend(picture, mask, colour, opacity)
    return picture


def _blend(picture: np.ndarray, mask: np.ndarray, colour: tuple[float, float, float], opacity: float = OPACITY) -> None:
    picture[mask] = (1 - opacity) * picture[mask] + opacity * np.asarray(colour, picture.dtype)


def _figure(view: View, shape: tuple[int, ...], title: str, axcodes: str | None) -> Figure:
    proportion = shape[1] / (shape[0] * view.aspect)
    width = float(np.clip(PANEL_HEIGHT * proportion, 2.4, 6.5))
    height = float(np.clip(width / proportion, 1.2, PANEL_HEIGHT)) + 2.0
    figure = Figure(figsize=(3 * width + 0.6, height), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if axcodes is not None:
        plane = {"LR": "sagittal", "AP": "coronal", "IS": "axial"}
        name = plane["".join(sorted((axcodes[view.axis], OPPOSITE[axcodes[view.axis]])))]
        title = f"{title}\n{name} slice {view.index}"
    figure.suptitle(title.strip(), fontsize=11)
    return figure


def _show(panel, picture: np.ndarray, view: View, title: str) -> None:  # type: ignore[no-untyped-def]
    panel.imshow(picture, aspect=view.aspect, interpolation="nearest")
    panel.set_title(title, fontsize=10)
    panel.set_xticks([])
    panel.set_yticks([])
    outline = [withStroke(linewidth=2, foreground="black")]
    style = {"color": "white", "fontsize": 9, "path_effects": outline, "transform": panel.transAxes}
    panel.text(0.5, 0.985, view.up, ha="center", va="top", **style)
    panel.text(0.015, 0.5, view.left, ha="left", va="center", **style)


def _difference_legend(panel) -> None:  # type: ignore[no-untyped-def]
    handles = [Patch(color=_seen(*look), label=label) for label, look in DIFFERENCES.items()]
    panel.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, fontsize=8, frameon=False)


def _seen(colour: tuple[float, float, float], opacity: float = OPACITY) -> tuple[float, float, float]:
    """A colour as it looks where it lies on middle grey."""
    seen = np.full((1, 3), MIDDLE_GREY)
    _blend(seen, np.ones(1, bool), colour, opacity)
    red, green, blue = seen[0].tolist()
    return red, green, blue


def _legend(figure: Figure, classes: list[int], names: Mapping[int, str]) -> None:
    handles = [Patch(color=_seen(class_colour(c)), label=f"{c} {names.get(c, '')}".strip()) for c in classes]
    columns = max(3, int(figure.get_figwidth() / 1.3))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
