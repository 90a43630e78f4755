"""Judgments that are there already, as rows of a file, and the evaluation of them."""

from pathlib import Path

from srt import cli
from srt.storage.readers import read_json
from srt.storage.records import Evaluation


def judgment(instruction: str, preference: float | None, output: str = "b") -> dict:
    about = {"generator_1": "reference", "generator_2": "ours", "annotator": "judge"}
    return {"instruction": instruction, "output_1": "a", "output_2": output, "preference": preference, **about}


def evaluated(folder: Path, *words: object) -> Evaluation:
    out = folder / "out.json"
    assert cli.main([*map(str, words), str(out)]) == 0
    return Evaluation.model_validate(read_json(out))
