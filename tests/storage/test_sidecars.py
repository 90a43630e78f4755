"""Sidecars: typed, written in the order in which they were given, and read again from the version before."""

import json
from pathlib import Path
from typing import Any

import pytest

from srt.storage.errors import InputError
from srt.storage.sidecars import Imported, ShardSidecar, Sidecar, StepSettings, read_sidecar, write_sidecar
from srt.storage.trainings import Step, TrainingRecord

SETTINGS = {"prompts": "p.yaml", "model": "m", "revision": None, "temperature": 0.0}
# As the version before wrote them, with what only that step or an older version has.
OLD: dict[type[Any], dict[str, Any]] = {
    Sidecar: {
        "variant": "both",
        "settings": SETTINGS,
        "counts": {"reflected": 2, "failed": 0, "shown_cut": 1},
        "repairs": {},
        "given": {"source": "s.json", "sha256": "0", "beside": [{"source": "o.json", "sha256": "1"}]},
        "moved": {"where": 3},
        "teacher_in_all": {"requests": 5, "prompt_tokens": 3, "completion_tokens": 2, "usd": None},
        "of another version": {"b": [1], "a": None},
        "versions": {"torch": "2"},
    },
    ShardSidecar: {
        "model": "m",
        "identity": "i",
        "settings": {"dtype": "float32"},
        "texts": {"guess_prompt": "g"},
        "positions": None,
        "batch_tokens": 8,
        "versions": {},
        "shards": 1,
    },
    TrainingRecord: {
        "base_model": "m",
        "revision": None,
        "data": {"sha256": "0", "dropped": {}, "trained_on": 4},
        "settings": {"optimizer": "adamw", "lora_rank": None, "global_batch": 4},
        "layout_reason": None,
        "seconds": 1.5,
        "loss_curve": [{"step": 1, "loss": 2.5, "learning_rate": 1e-5, "grad_norm": None}],
    },
}


@pytest.mark.parametrize("kind", OLD)
def test_what_was_written_is_read_and_written_again_byte_for_byte(tmp_path: Path, kind: type[Any]) -> None:
    text = json.dumps(OLD[kind], indent=2) + "\n"
    (tmp_path / "x.meta.json").write_text(text)
    write_sidecar(tmp_path / "again.json", read_sidecar(tmp_path / "x.meta.json", kind))
    assert (tmp_path / "again.json").read_text() == text


def test_a_step_writes_the_fields_that_it_gives_and_no_other(tmp_path: Path) -> None:
    settings = StepSettings(**SETTINGS)
    sidecar = Sidecar(texts=None, settings=settings, given=Imported(student=None, source="s", sha256="0"), model="m")
    write_sidecar(tmp_path / "x.meta.json", sidecar)
    given = {"student": None, "source": "s", "sha256": "0"}
    expected = {"texts": None, "settings": SETTINGS, "given": given, "model": "m"}
    assert (tmp_path / "x.meta.json").read_text() == json.dumps(expected, indent=2) + "\n"
    record = TrainingRecord(loss_curve=[Step(step=1, loss=0.5)])
    assert record.model_dump() == {"loss_curve": [{"step": 1, "loss": 0.5}]}


def test_a_file_that_is_missing_is_an_empty_sidecar_where_nothing_is_required(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "none.json", Sidecar) == Sidecar()
    assert (Sidecar().settings.model, Sidecar().counts, TrainingRecord().data.trained_on) == (None, {}, None)
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        read_sidecar(tmp_path / "none.json", ShardSidecar)


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        (ShardSidecar, {"identity": None}, "identity: is missing"),
        (ShardSidecar, {"batch_tokens": "8"}, "batch_tokens: Input should be a valid integer, found '8'"),
        (Sidecar, {"settings": {"seed": "1"}}, "settings.seed: Input should be a valid integer, found '1'"),
        (Sidecar, {"given": {"source": "s"}}, "given.sha256: is missing"),
        (TrainingRecord, {"loss_curve": [{"step": 1}]}, "loss_curve.0.loss: is missing"),
    ],
)
def test_a_field_of_another_type_is_one_line(tmp_path: Path, kind: type[Any], change: Any, told: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps({**OLD[kind], **change}))
    with pytest.raises(InputError) as refused:
        read_sidecar(tmp_path / "x.json", kind)
    assert str(refused.value) == f"{tmp_path / 'x.json'}: {told}"


def test_null_is_as_good_as_missing_where_a_field_is_never_null(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"settings": null, "counts": null, "texts": null}')
    found = read_sidecar(tmp_path / "x.json", Sidecar)
    assert (found.settings, found.counts, found.texts) == (StepSettings(), {}, None)


def test_the_first_fact_in_which_scores_differ_is_named() -> None:
    one = Sidecar(model="m", identity="i", settings=StepSettings(dtype="a"), texts={"g": "t"})  # type: ignore[call-arg]
    other = one.model_copy(update={"texts": {"g": "u"}, "model": "n"})
    assert one.scoring.differs_from(one.scoring) is None
    assert one.scoring.differs_from(other.scoring) == "texts"
    assert one.scoring.differs_from(other.scoring, ("identity", "settings")) is None
