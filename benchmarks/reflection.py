"""How good the reflections of a finished run are, by the student's own NLL.

For each reflected record: is its new response likelier after its own new instruction than after another record's?
The baseline is the same question for the original pairs. Reads finished artefacts, scores, prints one line a check;
the last line is a JSON object.

    python benchmarks/reflection.py results/data/demo/smollm2 --model models/smollm2-135m-instruct
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from srt.experiment.config import load
from srt.llm.model import ModelRef
from srt.llm.prompts import joined
from srt.prepare.sources import read_pairs
from srt.reflection.styles import read_style
from srt.scoring.score import score
from srt.settings.job import Job
from srt.storage.files import read_records, write_records
from srt.storage.records import Pair, ReflectedPair, Score


def share_of_own(pairs: Sequence[Pair], model: str, cache: Path) -> float:
    """Share of the pairs whose response is likelier after its own instruction than after the next pair's."""
    swapped = []
    for pair, other in zip(pairs, [*pairs[1:], pairs[0]], strict=True):
        own = {"instruction": joined(pair.instruction, pair.input), "input": "", "output": pair.output}
        swapped.append(Pair(id=f"{pair.id} own", **own))
        foreign = joined(other.instruction, other.input)
        swapped.append(Pair(id=f"{pair.id} foreign", **{**own, "instruction": foreign}))
    config, _ = load()
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "pairs.jsonl", Path(folder) / "scores.jsonl"
        write_records(source, swapped)
        score(source, ModelRef(model), config.score, Job(out, cache, config.execution))
        nll = {s.id: s.nll_response_given_instruction for s in read_records(out, Score)}
    wins = 0
    for pair in pairs:
        own_nll, foreign_nll = nll[f"{pair.id} own"], nll[f"{pair.id} foreign"]
        wins += own_nll is not None and foreign_nll is not None and own_nll < foreign_nll
    return wins / len(pairs)


def main() -> None:
    """Print the share of reflected records, leaks, repeats, and how well responses fit their instructions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a teacher's reflections, results/data/DATASET/TEACHER")
    parser.add_argument("--model", required=True, help="the student that judges likelihoods")
    parser.add_argument("--prompts", default="config/prompts/turns.yaml", help="the style whose words must not leak")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    args = parser.parse_args()
    style = read_style(args.prompts)
    original = read_pairs(args.folder.parent / "original.jsonl")
    found: dict[str, float | int] = {}
    for variant in ("instruction", "response", "both"):
        rows = read_records(args.folder / f"{variant}.jsonl", ReflectedPair)
        good = [row for row in rows if row.status == "reflected"]
        found[f"{variant}: reflected"] = len(good) / len(rows)
        found[f"{variant}: fits its own instruction"] = share_of_own(good, args.model, args.cache)
        if variant == "instruction":
            sources = {pair.id: (pair.instruction, pair.input, pair.output) for pair in original}
            found["equal new instructions"] = len(good) - len({row.instruction for row in good})
            found["leaks"] = sum(style.leak_in(row.instruction, *sources[row.id]) is not None for row in good)
    baseline = share_of_own(original, args.model, args.cache)
    for name, value in found.items():
        print(f"{name}: {value:.3g}")
    ratio = float(found["instruction: fits its own instruction"]) / baseline
    print(json.dumps({"ratio": ratio, "original: fits its own instruction": baseline, **found}))


if __name__ == "__main__":
    main()
