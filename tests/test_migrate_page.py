"""The page for users of PaddleSeg3D, followed command by command in a miniature of what they have."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from medicalseg.io import read_volume
from tests.paddleseg3d_workspace import SIZE, make_workspace
from tests.test_docs import fenced

SHORTENED = {
    "medicalseg verify --config my_vnet.yml\n": "|| test $? = 2",
    "--dataset_root data/held_out/MRSpineSeg": f"--size {' '.join(map(str, SIZE))} --num_workers 0",
    "--save_dir output/held_out\n": "--iters 2",
    "--save_dir output/continued": "--iters 14002",
}


def test_the_page(tmp_path, root):
    page = (root / "docs" / "how-to" / "migrate.md").read_text(encoding="utf-8")
    script = "\n".join(block for language, block in fenced(page) if language == "shell") + "\n"
    for words, more in SHORTENED.items():
        assert words in script
        script = script.replace(words, f"{words.rstrip()} {more}\n", 1)
    folder = make_workspace(tmp_path / "old")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    said = _run(script, folder, root)
    assert "2 of 2 val cases train too" in said
    assert "validation cases are among the training cases" in said
    assert "soft mDice (PaddleSeg)" in said
    assert "iter: 14002/14002" in said
    assert before == {path: path.stat().st_mtime_ns for path in before}
    scan = read_volume(folder / "scans/new_patient.nii.gz")
    label = read_volume(folder / "output/labels/new_patient.nii.gz")
    assert label.shape == scan.shape
    np.testing.assert_allclose(label.affine, scan.affine, atol=1e-4)
    held_out = (folder / "output/held_out/val/metrics.json").read_text(encoding="utf-8")
    assert '"grid": "original"' in held_out
    assert "leaking" not in held_out


def _run(script, folder, root):
    command = f'set -e; medicalseg() {{ "{sys.executable}" -m medicalseg "$@"; }}\n{script}'
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
