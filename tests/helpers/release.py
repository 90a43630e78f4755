"""A release in the shape of the authors' data sets: a struct `data`, a Parquet file for each version."""

from __future__ import annotations

import hashlib
import json
import math
import random
from pathlib import Path
from typing import Any

SPLITS = {
    "original": "origin",
    "instruction": "reflect_instruction",
    "response": "reflect_response",
    "both": "reflect_both",
}
# What the published code does to single records: nothing came back, a part came back, or the scorer failed.
UNCHANGED, OLD_RESPONSE, REPEATED, ZERO, NAN, ABSENT = 3, 5, 7, 9, 11, 13
TEXTS = {"instruction": "data.instruction", "input": "data.input", "output": "data.output"}
COLUMNS = {"loss": "data.loss", "ppl": "data.ppl"}
Rows = list[dict[str, Any]]


def some_records(n: int = 40) -> Rows:
    """Records of different words, for tests without real data."""
    words = [
        f"{start}{middle}{end}" for start in ("bar", "cor", "del") for middle in "aeiou" for end in ("nt", "sk", "mph")
    ]
    rows = []
    for number in range(n):
        about = " ".join(random.Random(number).sample(words, 6))
        rows.append({"instruction": f"Describe {about}.", "input": "", "output": f"Here is {about}: {number}."})
    return rows


def versions(records: Rows) -> dict[str, Rows]:
    """The four versions of the records, as a teacher and the published post-processing leave them."""
    found: dict[str, Rows] = {variant: [] for variant in SPLITS}
    for number, record in enumerate(records):
        old = {name: record.get(name, "") for name in TEXTS}
        asked = {"instruction": f"In depth: {old['instruction']}", "input": "", "output": f"New: {old['output']}"}
        if number == UNCHANGED:
            asked = dict(old)
        if number == OLD_RESPONSE:
            asked["output"] = old["output"]
        answered = {**old, "output": old["output"] if number == REPEATED else f"Better: {old['output']}"}
        found["original"].append(old)
        found["instruction"].append(asked)
        found["response"].append(answered)
        found["both"].append({**asked, "output": f"Better: {asked['output']}"})
    return found


def share(*parts: object) -> float:
    """A number from 0 to 1 that depends on the parts alone."""
    return int(hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


def scores(rows: Rows, failing: bool = True) -> Rows:
    """What the published scorer writes: equal texts have equal unconditional losses."""
    found: Rows = []
    for number, row in enumerate(rows):
        asked, answer = row["instruction"] + row["input"], row["output"]
        alone = [1 + share("i", asked), 1 + share("o", answer)]
        after = [alone[0] + 1.3 * share(asked, answer, 1) - 1, alone[1] + 1.3 * share(asked, answer, 2) - 1]
        losses: list[float | None] = [round(loss, 6) for loss in (*alone, *after)]
        ppls: list[float | None] = [math.exp(loss) for loss in losses if loss is not None]
        if failing and number == ZERO:
            losses[2], ppls[2] = 0.0, 0.0
        if failing and number == NAN:
            losses[3], ppls[3] = math.nan, math.nan
        absent = failing and number == ABSENT
        found.append({"ppl": None, "loss": None} if absent else {"ppl": ppls, "loss": losses})
    return found


def write(path: Path, rows: Rows) -> Path:
    """Rows under a struct `data`, as Parquet; as JSON lines without it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist([{"data": row} for row in rows]), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def release(folder: Path, records: Rows) -> dict[str, Path]:
    """A whole release; `texts/...`, `scores/...` and `selected` by name."""
    made: dict[str, Path] = {}
    of_all = versions(records)
    for variant, split in SPLITS.items():
        made[f"texts/{variant}"] = write(folder / "texts" / f"{split}.parquet", of_all[variant])
        made[f"scores/{variant}"] = write(folder / "scores" / f"{split}.parquet", scores(of_all[variant]))
    made["selected"] = write(folder / "selected.parquet", published_selection(of_all))
    return made


def published_selection(of_all: dict[str, Rows]) -> Rows:
    """The published selector, as PROTOCOL.md describes it, where no score failed; without the failed records."""
    ratios = {}
    for variant, rows in of_all.items():
        numbers = [row["ppl"] or [math.nan] * 4 for row in scores(rows)]
        ratios[variant] = [(p[3] / p[1], p[2] / p[0]) if 0 not in p else (math.nan, math.nan) for p in numbers]
    chosen: Rows = []
    for number in range(len(of_all["original"])):
        ifd, r_ifd = ({variant: of[number][place] for variant, of in ratios.items()} for place in (0, 1))
        base, reflected = ("instruction", "both") if ifd["instruction"] > ifd["original"] else ("original", "response")
        if r_ifd[reflected] < r_ifd[base] and r_ifd[reflected] < 1 and ifd[reflected] < 1:
            chosen.append(of_all[reflected][number])
    return chosen
