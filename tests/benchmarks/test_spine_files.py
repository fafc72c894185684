"""The volumes that predictions are timed on, where the real ones are absent."""

from __future__ import annotations

import numpy as np

from benchmarks import spine_files
from medicalseg.io import read_label, read_volume


def test_without_real_data_the_phantom_takes_their_place(tmp_path, monkeypatch):
    monkeypatch.setenv(spine_files.VARIABLE, str(tmp_path / "nowhere"))
    monkeypatch.setattr(spine_files.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(spine_files, "SIZES", {False: (32, 40, 8)})
    image, label = read_volume(spine_files.image()), read_label(spine_files.label())
    assert image.array.shape[-3:] == label.array.shape == (32, 40, 8)
    assert image.same_grid(label)
    assert len(np.unique(label.array)) > 5
