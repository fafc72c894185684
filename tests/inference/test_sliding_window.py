"""Windows give the numbers of the whole volume for a pointwise network, in bounded memory."""

from __future__ import annotations

import errno
import io
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import softmax

from medicalseg.cvlibs import manager
from medicalseg.datasets.patches.draw import PatchDraw
from medicalseg.errors import ConfigError, RunError
from medicalseg.inference import Decision, Ensemble, Inferer, SlidingWindow, WholeVolume, argmax_classes
from medicalseg.inference.network import WithDecision
from medicalseg.inference.windows import WindowGrid


class Pointwise(WithDecision):
    """Logits of a voxel depend on that voxel only; counts calls and remembers shapes."""

    decision = Decision()

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def logits(self, x: np.ndarray) -> np.ndarray:
        self.shapes.append(x.shape)
        return np.concatenate([x[:, :1], 1 - x[:, :1], np.sin(9 * x[:, :1])], axis=1)


def image(shape: tuple[int, ...] = (1, 13, 17, 9)) -> np.ndarray:
    return np.random.default_rng(5).random(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 13, 17, 9), (2, 5, 30, 4), (1, 3, 4, 2), (1, 8, 8, 8)])
@pytest.mark.parametrize("window", [8, (4, 9, 5), (5, 4, 3)])
@pytest.mark.parametrize(
    ("overlap", "weights", "batch"), [(0.5, "gaussian", 1), (0, "constant", 3), (0.9, "constant", 4)]
)
def test_equal_to_the_whole_volume(
    shape: tuple[int, ...], window: int | tuple[int, ...], overlap: float, weights: str, batch: int
) -> None:
    network, x = Pointwise(), image(shape)
    sliding = SlidingWindow(window, overlap, weights, batch)
    np.testing.assert_allclose(sliding.logits(network, x), WholeVolume().logits(network, x), atol=2e-6)
    agreement = np.mean(sliding.labels(network, x) == WholeVolume().labels(network, x))
    assert agreement > 0.999


def test_average_of_two_windows_by_hand() -> None:
    class Numbered:
        calls = 0

        def logits(self, x: np.ndarray) -> np.ndarray:
            self.calls += 1
            return np.full((1, 1, *x.shape[2:]), float(self.calls), np.float32)

    sliding = SlidingWindow((4, 1, 1), overlap=0.5, weights="constant", skip_empty=False)
    result = sliding.logits(Numbered(), np.zeros((1, 6, 1, 1), np.float32))
    np.testing.assert_allclose(result[0, :, 0, 0], [1, 1, 1.5, 1.5, 2, 2])


class Recorder(Pointwise):
    """Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[np.ndarray] = []

    def logits(self, x: np.ndarray) -> np.ndarray:
        self.seen.append(x.copy())
        return super().logits(x)


@pytest.mark.parametrize("shape", [(5, 9, 12), (8, 3, 20), (4, 7, 1)])
def test_a_volume_smaller_than_the_window_lies_in_its_middle_as_in_training(shape: tuple[int, int, int]) -> None:
    window = (8, 8, 10)
    starts = PatchDraw(window, 0, "case", 0).starts(shape, None)
    network, x = Recorder(), image((1, *shape)) + 1
    SlidingWindow(window, overlap=0).logits(network, x)
    (first, *_) = network.seen
    for axis, (size, extent) in enumerate(zip(shape, window, strict=True)):
        if size <= extent:
            others = tuple(other for other in range(5) if other != axis + 2)
            filled = np.flatnonzero(first.any(axis=others))
            assert (filled[0], filled[-1]) == (-starts[axis], -starts[axis] + size - 1)


def test_padding_at_the_end() -> None:
    network, x = Recorder(), image((1, 3, 4, 2)) + 1
    end = SlidingWindow(8, padding="end").logits(network, x)
    np.testing.assert_array_equal(network.seen[0][0, :, :3, :4, :2], x)
    np.testing.assert_allclose(end, SlidingWindow(8).logits(Recorder(), x), rtol=1e-6)


def test_gaussian_trusts_the_centre() -> None:
    weights = SlidingWindow((9, 9, 5))._weights
    assert np.unravel_index(weights.argmax(), weights.shape) == (4, 4, 2)
    assert weights.min() > 0
    np.testing.assert_allclose(weights, weights[::-1, ::-1, ::-1])


@pytest.mark.parametrize(
    ("size", "window", "overlap", "starts"),
    [(4, 8, 0.5, [0]), (8, 8, 0.5, [0]), (12, 8, 0.5, [0, 4]), (13, 8, 0.5, [0, 2, 5]), (10, 1, 0.5, list(range(10)))],
)
def test_starts(size: int, window: int, overlap: float, starts: list[int]) -> None:
    assert SlidingWindow(window, overlap).starts(size, window) == starts


def test_batch_of_windows_and_no_size_but_the_window() -> None:
    network = Pointwise()
    SlidingWindow((4, 4, 4), batch=3).labels(network, image())
    assert {shape[1:] for shape in network.shapes} == {(1, 4, 4, 4)}
    assert max(shape[0] for shape in network.shapes) == 3


def test_slabs_cover_every_voxel_once_and_are_thin() -> None:
    x = image((1, 6, 40, 7))
    covered = np.zeros(x.shape[1:], int)
    sizes = []
    for region, logits in SlidingWindow((6, 8, 6)).slabs(Pointwise(), x):
        covered[region] += 1
        sizes.append(logits.shape[2])
        assert logits.shape[1:] == covered[region].shape
    assert (covered == 1).all()
    assert max(sizes) <= 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": (4, 4)}, "window"),
        ({"window": 0}, "window"),
        ({"window": 4, "overlap": 1}, "overlap"),
        ({"window": 4, "weights": "triangle"}, "weights"),
        ({"window": 4, "batch": 0}, "batch"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"SlidingWindow.{message}"):
        SlidingWindow(**arguments)  # type: ignore[arg-type]


def test_registered() -> None:
    assert manager.INFERERS["SlidingWindow"] is SlidingWindow
    assert issubclass(manager.INFERERS["WholeVolume"], Inferer)  # type: ignore[arg-type]


def test_nan_logits_are_an_error() -> None:
    network = SimpleNamespace(
        logits=lambda x: np.full((1, 2, *x.shape[2:]), np.nan, np.float32),
        decide=lambda logits, weights: argmax_classes(logits),
    )
    with pytest.raises(RunError, match="NaN"):
        SlidingWindow(4).labels(network, image())


def test_argmax_takes_the_first_of_equals() -> None:
    logits = np.random.default_rng(0).integers(0, 3, (2, 5, 4, 3, 2)).astype(np.float32)
    np.testing.assert_array_equal(argmax_classes(logits, axis=1), logits.argmax(axis=1))


@pytest.mark.parametrize("block", [7, 1 << 15])
@pytest.mark.parametrize("axis", [0, 1, 3, -1])
def test_argmax_in_blocks_equals_numpy_and_takes_the_first_of_equals(
    block: int, axis: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medicalseg.inference.argmax.BLOCK_VOXELS", block)
    logits = np.random.default_rng(0).integers(0, 4, (3, 5, 6, 7)).astype(np.float32)
    result = argmax_classes(logits, axis=axis)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, logits.argmax(axis=axis))


def test_more_than_255_classes() -> None:
    logits = np.random.default_rng(0).random((400, 5, 6)).astype(np.float32)
    np.testing.assert_array_equal(argmax_classes(logits), logits.argmax(axis=0))


def test_nan_of_any_class_is_an_error() -> None:
    logits = np.zeros((3, 4, 4, 4), np.float32)
    logits[2, 1, 1, 1] = np.nan
    with pytest.raises(RunError, match="NaN"):
        argmax_classes(logits)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_sums_are_those_of_one_array_to_the_last_bit(on_disk: bool, batch: int) -> None:
    """The same windows added to one array of the whole volume, in the same order."""
    x = image((1, 31, 44, 23))
    sliding = SlidingWindow((8, 12, 10), overlap=0.4, batch=batch, on_disk=on_disk)
    grid = sliding.grid(x.shape[1:])
    sums, weights = np.zeros((3, *x.shape[1:]), np.float32), np.zeros(x.shape[1:], np.float32)
    for corner in grid.corners():
        region = (slice(None), *grid.region(corner))
        sums[region] += Pointwise().logits(x[None][(slice(None), *region)])[0] * sliding._weights
        weights[region[1:]] += sliding._weights
    found = np.full_like(sums, np.nan)
    for region, scores, total in sliding.parts(Pointwise(), x):
        found[(slice(None), *region)] = scores
        np.testing.assert_array_equal(total, weights[region])
    np.testing.assert_array_equal(found, sums)


@pytest.mark.parametrize("shape", [(31, 44, 23), (8, 60, 10), (5, 5, 5), (20, 21, 90)])
def test_parts_come_in_the_order_of_the_axes(shape: tuple[int, int, int]) -> None:
    x = image((1, *shape))
    sliding = SlidingWindow((8, 12, 10), batch=3)
    rows, columns, along = sliding.axes(shape)
    places, covered = [], np.zeros(shape, int)
    for region, _, _ in sliding.parts(Pointwise(), x):
        assert region[along] == slice(0, shape[along])
        places.append((region[rows].start, region[columns].start))
        covered[region] += 1
    assert places == sorted(places)
    assert (covered == 1).all()


def test_held_voxels_are_those_of_two_rows_and_a_strip() -> None:
    grid = SlidingWindow((8, 8, 8), overlap=0.5).grid((16, 24, 64))
    assert grid.axes == (2, 1, 0)
    overlap, strip = 4 * 24 * 16, 4 * 8 * 16
    assert grid.peak_voxels() <= overlap + 2 * strip
    assert WindowGrid.of((4, 4, 4), (8, 8, 8), 0.5).peak_voxels() == 512


def test_windows_of_one_grey_value_are_background_and_are_not_computed() -> None:
    x = np.zeros((1, 40, 20, 20), np.float32)
    x[:, :12] = image((1, 12, 20, 20))
    network = Pointwise()
    labels = SlidingWindow(8).labels(network, x)
    all_windows = SlidingWindow(8).grid(x.shape[1:]).count
    assert sum(shape[0] for shape in network.shapes) < all_windows / 2
    assert (labels[20:] == 0).all()
    np.testing.assert_array_equal(labels[:12], WholeVolume().labels(Pointwise(), x)[:12])
    assert (SlidingWindow(8).labels(Pointwise(), np.full((1, 20, 20, 20), 3, np.float32)) == 0).all()
    assert (SlidingWindow(8, skip_empty=False).labels(Pointwise(), x)[20:] == 1).all()


def test_mirroring_is_the_mean_over_mirror_images() -> None:
    class Shifted(Pointwise):
        def logits(self, x: np.ndarray) -> np.ndarray:
            return super().logits(np.roll(x, 1, axis=2))

    x = image((1, 6, 7, 5))
    found = WholeVolume(mirror_axes=[0, 2]).logits(Shifted(), x)
    single = Shifted().logits(x[None])[0]
    mirrored = Shifted().logits(x[None, :, ::-1])[0][:, ::-1]
    np.testing.assert_allclose(found, (single + mirrored) / 2, atol=1e-6)
    windows = SlidingWindow((6, 7, 5), mirror_axes=[0, 2]).logits(Shifted(), x)
    np.testing.assert_allclose(windows, found, atol=1e-5)


@pytest.mark.parametrize("axes", [[3], [0, 0], "01", [True], 5])
def test_wrong_mirror_axes(axes: object) -> None:
    with pytest.raises(ConfigError, match="mirror_axes"):
        SlidingWindow(4, mirror_axes=axes)  # type: ignore[arg-type]


def test_an_ensemble_averages_probabilities() -> None:
    class Louder(Pointwise):
        def logits(self, x: np.ndarray) -> np.ndarray:
            return 5 * super().logits(x)[:, ::-1]

    x = image()[None]
    ensemble = Ensemble([Pointwise(), Louder()])
    expected = (softmax(Pointwise().logits(x), axis=1) + softmax(Louder().logits(x), axis=1)) / 2
    np.testing.assert_allclose(ensemble.logits(x), expected, atol=1e-6)
    np.testing.assert_array_equal(ensemble.labels(x), expected.argmax(axis=1))
    np.testing.assert_allclose(ensemble.probabilities(x), expected, atol=1e-6)
    np.testing.assert_array_equal(SlidingWindow(32).labels(ensemble, x[0]), expected[0].argmax(axis=0))
    with pytest.raises(ConfigError, match="at least one"):
        Ensemble([])


@pytest.mark.skipif(os.name != "posix", reason="files have names on Windows as long as they are open")
def test_sums_wait_in_files_without_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    make = tempfile.TemporaryFile
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: opened.append(make(dir=tmp_path)) or opened[-1])
    x = image((1, 31, 44, 23))
    for _ in SlidingWindow((8, 12, 10), on_disk=True).parts(Pointwise(), x):
        assert list(tmp_path.iterdir()) == []
    assert len(opened) > 4
    assert all(file.closed for file in opened)


def test_a_full_disk_is_told_and_sums_wait_in_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    x = image((1, 31, 44, 23))
    expected = SlidingWindow((8, 12, 10), on_disk=False).labels(Pointwise(), x)
    disk = [FullDisk(1 << 20), FullDisk(100), FullDisk(0)]
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: disk.pop(0))
    np.testing.assert_array_equal(SlidingWindow((8, 12, 10), on_disk=True).labels(Pointwise(), x), expected)
    assert "No space left" in caplog.text
    assert "in memory" in caplog.text
    assert len(disk) == 1


class FullDisk(io.BytesIO):
    """A file that takes so many bytes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_final_parts_come_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    x = image((1, 31, 44, 23))
    expected = SlidingWindow((8, 12, 10)).labels(Pointwise(), x)
    monkeypatch.setattr("medicalseg.inference.windows.PIECE_VOXELS", 500)
    sliding = SlidingWindow((8, 12, 10))
    sizes = [part.scores[0].size for part in sliding.parts(Pointwise(), x)]
    assert max(sizes) == sliding.grid(x.shape[1:]).largest_part()
    assert max(sizes) <= 500
    np.testing.assert_array_equal(sliding.labels(Pointwise(), x), expected)
    small = image((1, 5, 4, 3))
    np.testing.assert_array_equal(sliding.labels(Pointwise(), small), WholeVolume().labels(Pointwise(), small))


@pytest.mark.parametrize("on_disk", [False, True])
def test_large_sums_have_pages_of_their_own(on_disk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x = image((1, 31, 44, 23))
    expected = SlidingWindow((8, 12, 10)).logits(Pointwise(), x)
    monkeypatch.setattr("medicalseg.inference.windows.OWN_PAGES", 1)
    np.testing.assert_array_equal(SlidingWindow((8, 12, 10), on_disk=on_disk).logits(Pointwise(), x), expected)


@pytest.mark.parametrize(("shape", "drawn"), [((16, 16, 16), True), ((16, 8, 8), False)])
def test_windows_done_are_a_live_line_in_a_terminal(
    shape: tuple[int, int, int], drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    SlidingWindow(8, overlap=0, batch=3).labels(Pointwise(), image((1, *shape)))
    text = terminal.getvalue()
    assert ("8/8" in text) is drawn
    assert text.endswith("\r\x1b[K") is drawn
