"""Checkpoint folders: whole or not at all, found again, thinned out."""

from __future__ import annotations

import json

import pytest

from medicalseg.core.checkpoint_store import CheckpointStore, iteration_of
from medicalseg.core.trainer_state import TrainerState
from medicalseg.errors import CheckpointError, RunError, UserError


def write(store: CheckpointStore, name: str, text: str = "x") -> None:
    with store.writing(name) as folder:
        for file in ("model.pdparams", "model.pdopt"):
            (folder / file).write_text(text)


def fail_while_writing(store: CheckpointStore) -> None:
    with store.writing("iter_5") as folder:
        (folder / "model.pdparams").write_text("new")
        raise OSError(28, "No space left on device")


def test_appears_whole_or_not_at_all(tmp_path):
    store = CheckpointStore(tmp_path / "run")
    store.prepare()
    write(store, "iter_5", "old")
    with pytest.raises(RunError, match=r"cannot save .*iter_5: No space.*last good checkpoint is .*iter_5"):
        fail_while_writing(store)
    assert (store.path(5) / "model.pdparams").read_text() == "old"
    write(store, "iter_5", "new")
    assert (store.path(5) / "model.pdparams").read_text() == "new"
    assert [path.name for path in store.folder.iterdir()] == ["iter_5"]


def test_leftovers_are_put_away(tmp_path):
    for name in (".tmp-iter_4-1-a", ".old-best_model", "iter_2"):
        (tmp_path / name).mkdir()
    (tmp_path / ".tmp-1-progress.png").write_text("")
    store = CheckpointStore(tmp_path)
    store.prepare()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best_model", "iter_2"]
    assert store.iterations() == []


def test_newest_complete_checkpoint(tmp_path):
    store = CheckpointStore(tmp_path)
    assert store.resolve("auto") is None
    assert store.resolve(None) is None
    write(store, "iter_9")
    write(store, "iter_10")
    (tmp_path / "iter_11").mkdir()
    (tmp_path / "iter_x").mkdir()
    assert store.resolve("auto") == tmp_path / "iter_10"
    assert store.resolve(str(tmp_path / "iter_9")) == tmp_path / "iter_9"


def test_a_damaged_checkpoint_does_not_stop_the_others(tmp_path):
    store = CheckpointStore(tmp_path)
    for iteration, text in ((2, '{"started": "2026"}'), (4, "{")):
        write(store, f"iter_{iteration}")
        (tmp_path / f"iter_{iteration}" / "trainer.json").write_text(text)
    assert store.newest() == tmp_path / "iter_2"


def test_of_several_runs_the_one_that_was_started_last(tmp_path):
    store = CheckpointStore(tmp_path)
    for iteration, started in ((2, "2026-02-02T10"), (4, "2026-02-02T10"), (6, "2026-02-01T12"), (8, None)):
        write(store, f"iter_{iteration}")
        state = {} if started is None else {"started": started}
        (tmp_path / f"iter_{iteration}" / "trainer.json").write_text(json.dumps(state))
    assert store.newest() == store.resolve("auto") == tmp_path / "iter_4"
    write(store, "final_model")
    (tmp_path / "final_model" / "meta.json").write_text(json.dumps({"iteration": 4, "started": "2026-02-01T12"}))
    assert store.has_final(4, "2026-02-01T12")
    assert not store.has_final(4, "2026-02-02T10")
    assert not store.has_final(6, "2026-02-01T12")


@pytest.mark.parametrize(
    ("name", "message"), [("best_model", "weights only"), ("iter_3", "model.pdopt is missing"), ("iter_4", "no such")]
)
def test_cannot_resume_from(tmp_path, name, message):
    store = CheckpointStore(tmp_path)
    write(store, "best_model")
    (tmp_path / "iter_3").mkdir()
    (tmp_path / "iter_3" / "model.pdparams").write_text("")
    with pytest.raises(CheckpointError, match=message):
        store.resolve(str(tmp_path / name))


@pytest.mark.parametrize(("keep", "left"), [(2, [3, 4]), (0, [1, 2, 3, 4]), (-1, [1, 2, 3, 4]), (9, [1, 2, 3, 4])])
def test_prune_spares_other_runs(tmp_path, keep, left):
    store = CheckpointStore(tmp_path)
    for k in range(1, 5):
        write(store, f"iter_{k}")
    write(store, "iter_77")
    assert store.prune([1, 2, 3, 4, 50], keep) == left
    assert store.iterations() == [*left, 77]


def test_save_dir_is_a_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        CheckpointStore(path)
    assert path.read_text() == "mine"


def test_state_round_trip():
    state = TrainerState(iteration=3, best_score=0.5, saved=[1, 3])
    state.record({"iter": 1, "loss": 2.0})
    assert TrainerState.from_dict({**state.to_dict(), "of a newer version": 1}) == state
    with pytest.raises(CheckpointError, match="damaged"):
        TrainerState.from_dict({"iteration": "3"})


def test_iteration_of(tmp_path):
    assert iteration_of(tmp_path / "iter_120") == 120
    with pytest.raises(CheckpointError, match="iteration is unknown"):
        iteration_of(tmp_path / "model")
