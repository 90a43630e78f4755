"""Kills: at any moment, in the middle of a save too; what is left is whole, and training goes on bit by bit."""

import fcntl
import json
import os
import signal
import sys

import pytest
import transformers

from helpers.training import assert_equal_weights, execution, recipe, run
from srt.llm.loading import fingerprint, identity
from srt.llm.model import ModelRef
from srt.settings.job import Job
from srt.storage.trainings import RECORD
from srt.training import finetune as step
from srt.training.checkpoints import MARKER, SAVING, alone, key_of, newest_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


SETTINGS, HOW = recipe(epochs=3.0), execution(save_steps=2)


@pytest.mark.parametrize(
    ("longest", "key"),
    [
        (256, "f519d07616a0576ac29a1d89247fca293893d4c0299008d12a85382780ef97c4"),
        (128, "c939e4bcff62b1091c52570459175e8ca76591a2163e0013148e741c30786283"),
    ],
)
def test_a_training_that_was_begun_before_is_found_again(longest, key):
    assert key_of("base", "data", recipe(), 3, longest) == key


@pytest.fixture(scope="module")
def straight(tiny_base, tmp_path_factory):
    """The run that nobody kills."""
    from helpers.training import pairs
    from srt.storage.files import write_records

    folder = tmp_path_factory.mktemp("straight")
    write_records(folder / "train.jsonl", pairs())
    run(folder / "train.jsonl", tiny_base, folder / "model", SETTINGS, HOW)
    return folder / "model"


def killed_at(place, moment, *arguments):
    """Run the step in a child that kills itself when it calls `place` for the moment-th time."""
    child = os.fork()
    if child == 0:
        module, _, name = place.rpartition(".")
        owner = transformers.Trainer if module == "transformers.Trainer" else sys.modules[module]
        original, calls = getattr(owner, name), []

        def deadly(*inputs, **more):
            calls.append(1)
            if len(calls) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*inputs, **more)

        setattr(owner, name, deadly)
        try:
            step.finetune(*arguments)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the training ended before the kill"


@pytest.mark.parametrize(
    ("place", "moment", "reached"),
    [
        ("transformers.Trainer.training_step", 5, 4),  # between two saves
        ("transformers.Trainer._save_rng_state", 2, 2),  # half of the second checkpoint is written
        ("srt.training.checkpoints.sync_folder", 2, 2),  # all of it is written, under no name yet
        ("shutil.rmtree", 2, 6),  # while an old one is deleted
        ("srt.training.saving.sync_folder", 1, 6),  # the model is written, and not in its place yet
    ],
)
def test_a_kill_at_any_moment_costs_no_bit(train_file, tiny_base, tmp_path, capsys, straight, place, moment, reached):
    out, cache = tmp_path / "killed" / "model", tmp_path / "killed" / "cache"
    arguments = (train_file, ModelRef(str(tiny_base)), 3, SETTINGS, Job(out, cache, HOW))
    killed_at(place, moment, *arguments)
    assert not out.exists()
    capsys.readouterr()
    step.finetune(*arguments)
    told = capsys.readouterr().err
    assert f"going on from checkpoint-{reached} of 6" in told
    assert f"step {reached} of 6" not in told  # what was done is not done again
    assert reached == 6 or f"step {reached + 1} of 6" in told
    resumed, whole = (json.loads((folder / RECORD).read_text()) for folder in (out, straight))
    assert resumed["loss_curve"] == whole["loss_curve"]
    assert_equal_weights(out, straight, 0)
    assert identity(str(out), None) == identity(str(straight), None)
    assert fingerprint(str(out)) == fingerprint(str(straight))
    assert sorted(path.name for path in out.parent.iterdir()) == ["cache", "model"]


def test_a_kill_in_the_first_save_starts_anew(train_file, tiny_base, tmp_path, straight):
    out = tmp_path / "killed" / "model"
    arguments = (train_file, ModelRef(str(tiny_base)), 3, SETTINGS, Job(out, tmp_path / "killed" / "cache", HOW))
    killed_at("transformers.Trainer._save_rng_state", 1, *arguments)
    step.finetune(*arguments)
    assert_equal_weights(out, straight, 0)


def test_only_whole_checkpoints_count_and_others_go(tmp_path):
    for number in (2, 10, 12, 14):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        (folder / "weights").write_text("1234")
        (folder / MARKER).write_text(json.dumps({"weights": 4}))
    (tmp_path / "checkpoint-12" / "weights").write_text("12")  # shorter than the marker says
    (tmp_path / "checkpoint-14" / MARKER).unlink()
    (tmp_path / SAVING / "checkpoint-16").mkdir(parents=True)
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2"]


@pytest.mark.parametrize("keep", [1, 2])
def test_as_many_checkpoints_are_kept_as_asked_for(train_file, tiny_base, tmp_path, monkeypatch, keep):
    def interrupted(*_):
        raise KeyboardInterrupt

    how = execution(save_steps=1, keep_checkpoints=keep)
    monkeypatch.setattr(step, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(train_file, tiny_base, tmp_path / "model", recipe(epochs=3.0), how)
    kept = list((tmp_path / "cache" / "finetune").glob("*/checkpoint-*"))
    assert sorted(path.name for path in kept) == ["checkpoint-5", "checkpoint-6"][-keep:]
    assert all((path / MARKER).is_file() for path in kept)
    assert not (tmp_path / "model").exists()
    monkeypatch.undo()
    record = run(train_file, tiny_base, tmp_path / "model", recipe(epochs=3.0), how)  # only saves
    assert [entry["step"] for entry in record["loss_curve"]] == [1, 2, 3, 4, 5, 6]


def test_two_equal_trainings_do_not_share_a_folder_at_a_time(tmp_path):
    folder = tmp_path / "finetune" / "key"
    with alone(folder), (tmp_path / "finetune" / "key.lock").open("w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
