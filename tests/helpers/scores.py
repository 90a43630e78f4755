"""Hand-made scores, and a selection's files made of them."""

from pathlib import Path
from typing import Any

from srt.selection.choice import Choice
from srt.selection.registry import method_named
from srt.settings import SelectionConfig
from srt.storage.files import write_records
from srt.storage.records import Pair, ReflectedPair, Score

SETTINGS = SelectionConfig(ifd_below=1.0, r_ifd_below=1.0, perplexity_prefers="higher", proxy_sample=9)


def score(ifd: float | None, r_ifd: float | None = 0.5, nll: float = 1.0, status: str = "scored") -> Score:
    nlls = {"nll_instruction": 1.0, "nll_response": 1.0, "nll_instruction_given_response": 1.0}
    counts = {name.replace("nll", "tokens"): 5 for name in [*nlls, "nll_response_given_instruction"]}
    ratios = {"ifd": ifd, "r_ifd": r_ifd}
    reason = None if status == "scored" else "why"
    rest = {"truncated": [], "status": status, "reason": reason}
    return Score(id="x", **nlls, nll_response_given_instruction=nll, **counts, **ratios, **rest)


def choice(name: str, ratio: float = 1.0, seed: int = 0, **more: Any) -> Choice:
    """A choice by the method of that name; `more` are files by variant, or other settings than SETTINGS."""
    return Choice(method_named(name), **{"settings": SETTINGS, "ratio": ratio, "seed": seed, **more})


VARIANTS = ("original", "instruction", "response", "both")


def write_variants(folder: Path, failed: dict[str, list[str]] | None = None) -> tuple[dict[str, Path], dict[str, Path]]:
    """Three records in four variants; `failed` names the records whose reflection failed, by variant."""
    pairs, scores = {}, {}
    for number, variant in enumerate(VARIANTS):
        lost = (failed or {}).get(variant, [])
        rows: list[Pair] = []
        for name in "abc":
            fields = {"id": name, "instruction": f"{variant} {name}", "output": f"answer {variant} {name}"}
            status = {"status": "failed" if name in lost else "reflected", "reason": "cut off", "critique": None}
            status |= {"outcome": "cut_off" if name in lost else "clean", "repairs": []}
            rows.append(Pair(**fields) if variant == "original" else ReflectedPair(**fields, **status))
        pairs[variant], scores[variant] = folder / f"{variant}.jsonl", folder / f"{variant}.scores.jsonl"
        write_records(pairs[variant], rows)
        state = {name: "failed" if name in lost else "scored" for name in "abc"}
        ifd = 0.5 + number / 10
        values = [score(ifd, 0.9 - number / 10, status=state[n]).model_copy(update={"id": n}) for n in "abc"]
        write_records(scores[variant], values)
    return pairs, scores
