"""nnU-Net's fingerprint and preprocessing of its configuration 3d_fullres, case by case in this process."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.frame import Outcome, threads
from benchmarks.prepare_cases import raw


def all_cases(dataset: str, count: int, spacing: Sequence[float], processes: int = 1) -> Callable[[], Outcome]:
    """A function that does for every case what nnU-Net's commands do: look at it, then crop, resample and save it.

    Its own commands start processes for both; with one process they and the planning between the two are left out of
    the time, with more of them nnU-Net's pools are used, as its commands do. Images are resampled by cubic splines,
    which is nnU-Net's way.
    """
    folder = raw(dataset, count)
    ready = folder.parents[1] / "ready" / folder.name
    for variable, place in (("raw", folder.parent), ("preprocessed", ready.parent), ("results", folder.parents[1])):
        os.environ[f"nnUNet_{variable}"] = str(place)

    import torch
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    torch.set_num_threads(threads())
    api.extract_fingerprint_dataset(1, num_processes=1, verbose=False, show_progress_bar=False)
    api.plan_experiment_dataset(1, overwrite_target_spacing=tuple(reversed(list(spacing))))
    plans = PlansManager(str(next(ready.glob("nnUNetPlans*.json"))))
    configuration = plans.get_configuration("3d_fullres")
    description = plans_description(ready / "dataset.json")
    cases = get_filenames_of_train_images_and_targets(str(folder), description)
    first = next(iter(cases.values()))["images"][0]
    reader = determine_reader_writer_from_dataset_json(description, first)
    samples = int(10e7 // len(cases))
    target = ready / "saved"

    def one_by_one(preprocessor: DefaultPreprocessor) -> Path:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for files in cases.values():
            DatasetFingerprintExtractor.analyze_case(files["images"], files["label"], reader, samples)
        for case, files in cases.items():
            preprocessor.run_case_save(
                str(target / case), files["images"], files["label"], plans, configuration, description
            )
        return target

    def in_pools(preprocessor: DefaultPreprocessor) -> Path:
        api.extract_fingerprint_dataset(1, num_processes=processes, verbose=False, show_progress_bar=False)
        preprocessor.run(1, "3d_fullres", plans.plans_name, processes)
        return ready / configuration.data_identifier

    def run() -> Outcome:
        made = (one_by_one if processes == 1 else in_pools)(DefaultPreprocessor(verbose=False))
        size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
        return Outcome({"cases": len(cases), "megabytes written": round(size / 1e6, 1)})

    return run


def plans_description(path: Path) -> dict:
    """nnU-Net's dataset.json."""
    return dict(json.loads(path.read_text(encoding="utf-8")))
