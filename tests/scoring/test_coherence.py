import math
from pathlib import Path

import pytest

from srt.experiment.config import load
from srt.llm.model import ModelRef
from srt.scoring.coherence import coherence
from srt.storage.files import read_records, write_records
from srt.storage.records import Coherence, Pair, ReflectedPair

pytestmark = pytest.mark.slow

CONFIG, _ = load()


def test_the_cosine_of_mean_last_hidden_states(tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    import torch

    from srt.llm import loading

    pairs = [
        Pair(id="a", instruction="Name it.", input="the fruit", output="A much longer answer than the question was."),
        Pair(id="same", instruction="Say hello", output="Say hello"),
        ReflectedPair(id="f", instruction="i", output="o", **{**_plain(), "status": "failed", "reason": "why"}),
    ]
    write_records(tmp_path / "p.jsonl", [ReflectedPair(**{**_plain(), **pair.model_dump()}) for pair in pairs])
    out = tmp_path / "c.jsonl"
    model = str(tiny_llamas["plain"])
    coherence(tmp_path / "p.jsonl", out, ModelRef(model), CONFIG.coherence, CONFIG.execution)
    found = {row.id: row for row in read_records(out, Coherence)}

    tokenizer = loading.load_tokenizer(model, None)
    body = loading.load_model(model, None, "float32", "cpu").base_model
    with torch.no_grad():
        x, y = (
            body(torch.tensor([tokenizer(text).input_ids]))[0][0].mean(0)
            for text in ("Name it.\nthe fruit", pairs[0].output)
        )
    assert found["a"].coherence == pytest.approx(float(x @ y / (x.norm() * y.norm())), abs=1e-5)
    assert math.isclose(found["same"].coherence or 0, 1.0, abs_tol=1e-5)
    assert found["f"].coherence is None
    assert found["f"].reason == "reflection failed: why"


def _plain() -> dict[str, object]:
    return {"status": "reflected", "outcome": "clean", "reason": None, "repairs": [], "critique": None}
