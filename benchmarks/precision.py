"""Is a selection by `precision: exact` that of float32, and what does it cost beside plain bfloat16?

Four versions of real records are scored in bfloat16 and in float32, one after the other in one run; the selections
of several methods and ratios are compared: bfloat16 alone, bfloat16 with doubts computed again, float32 alone. The
versions are close on purpose: another real record stands in as the reflected instruction, and a response without its
last sentence as the reflected response. The last line is a JSON object.

    python benchmarks/precision.py --model models/smollm2-135m-instruct --records 500
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import records_file

from srt.experiment.config import load
from srt.llm.model import ModelRef
from srt.prepare.sources import read_pairs
from srt.scoring.rescore import rescore
from srt.scoring.score import score
from srt.selection.choice import Choice
from srt.selection.registry import method_named
from srt.selection.select import select
from srt.settings import ScoreConfig
from srt.settings.job import Job
from srt.storage.files import read_records, write_records
from srt.storage.readers import read_json
from srt.storage.records import NLLS, VARIANTS, LedgerEntry, Pair, Score
from srt.storage.sidecars import meta_of

CHOICES = (
    ("all_outcomes", 1.0),
    ("all_outcomes", 0.1),
    ("selective", 0.5),
    ("ifd", 0.05),
    ("r_ifd", 0.5),
    ("perplexity", 0.1),
)


def shortened(text: str) -> str:
    """The text without its last sentence, or without its last quarter where it has only one."""
    sentences = re.split(r"(?<=[.!?])\s+", text.strip())
    return " ".join(sentences[:-1]) if len(sentences) > 1 else text[: math.ceil(len(text) * 0.75)]


def write_versions(records: list[Pair], folder: Path) -> dict[str, Path]:
    """variant: file of the versions."""
    others = [*records[1:], records[0]]
    rows = {
        "original": records,
        "instruction": [new.model_copy(update={"id": old.id}) for old, new in zip(records, others, strict=True)],
    }
    for variant, source in (("response", "original"), ("both", "instruction")):
        rows[variant] = [pair.model_copy(update={"output": shortened(pair.output)}) for pair in rows[source]]
    for variant, pairs in rows.items():
        write_records(folder / f"{variant}.jsonl", pairs)
    return {variant: folder / f"{variant}.jsonl" for variant in VARIANTS}


def seconds(call: Callable[..., None], *arguments: Any) -> float:
    """Seconds that a call takes."""
    start = time.monotonic()
    call(*arguments)
    return time.monotonic() - start


def score_all(pairs: Mapping[str, Path], out: Mapping[str, Path], model: str, settings: ScoreConfig) -> None:
    """Score every version, with a cache of their own."""
    execution = load()[0].execution
    for variant, path in pairs.items():
        score(path, ModelRef(model), settings, Job(out[variant], out[variant].parent / "cache", execution))


def differences(first: Path, second: Path) -> int:
    """Records on which two ledgers disagree: another version chosen, or kept by one only."""
    ledgers = [read_records(folder / "ledger.jsonl", LedgerEntry) for folder in (first, second)]
    return sum((a.chosen, a.kept) != (b.chosen, b.kept) for a, b in zip(*ledgers, strict=True))


def errors(low: Path, high: Path) -> list[float]:
    """|error| in nats of every mean NLL in two files of scores."""
    pairs = list(zip(read_records(low, Score), read_records(high, Score), strict=True))
    return [abs(getattr(a, name) - getattr(b, name)) for a, b in pairs for name in NLLS if getattr(a, name) is not None]


def main() -> None:
    """Print error quantiles, flips with and without rescoring, and the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=records_file(), help="Alpaca-style records")
    parser.add_argument("--model", required=True, help="the student")
    parser.add_argument("--records", type=int, default=500, help="how many, the shortest first: they err most")
    args = parser.parse_args()
    config, _ = load()
    usable = [pair for pair in read_pairs(args.data) if len(re.findall(r"[.!?]\s", pair.output)) > 1]
    records = sorted(usable, key=lambda pair: len(pair.instruction + pair.input + pair.output))[: args.records]
    found: dict[str, Any] = {"records": len(records), "error": {}, "choices": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = write_versions(records, folder)
        scores = {dtype: {v: folder / dtype / f"{v}.jsonl" for v in VARIANTS} for dtype in ("bfloat16", "float32")}
        settings = config.score.model_copy(update={"dtype": "bfloat16", "precision": "exact"})
        for dtype, out in scores.items():
            found[dtype] = seconds(score_all, pairs, out, args.model, settings.model_copy(update={"dtype": dtype}))
        measured = sorted(e for v in VARIANTS for e in errors(scores["bfloat16"][v], scores["float32"][v]))
        for share in (0.5, 0.95, 0.99, 1.0):
            found["error"][f"{share:g}"] = round(measured[math.ceil(share * len(measured)) - 1], 4)
        for method, ratio in CHOICES:
            label = f"{method} {ratio:g}"
            low = Choice(method_named(method), config.selection, ratio, pairs=pairs, scores=scores["bfloat16"])
            full = dataclasses.replace(low, scores=scores["float32"])
            job = Job(folder / f"{label}.jsonl", folder / label, config.execution)
            again = seconds(rescore, low, ModelRef(args.model), settings, job)
            for kind, given, extra in (("plain", low, None), ("exact", low, job.out), ("float32", full, None)):
                select(folder / kind / label, given, extra)
            ledgers = [folder / kind / label for kind in ("plain", "exact", "float32")]
            found["choices"][label] = {
                "flips_plain": differences(ledgers[0], ledgers[2]),
                "flips_exact": differences(ledgers[1], ledgers[2]),
                "cost": round(1 + again / found["bfloat16"], 2),
                **read_json(Path(meta_of(str(job.out))))["counts"],
            }
            print(label, found["choices"][label], flush=True)
    found["ratio"] = max(choice["cost"] for choice in found["choices"].values())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
