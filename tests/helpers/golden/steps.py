"""What is run: for each step of STEP_VERSIONS its inputs, written into `in/`, and the commands that fill `out/`.

A step runs in its own folder and by relative paths, so that no path of the machine can reach what it writes. No step
reads what another one wrote: a change of one step shows at that step alone.
"""

import contextlib
import hashlib
import json
import math
import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import yaml

from helpers import ROOT
from helpers.fake_judge import KEY, KEY_VARIABLE, FakeJudge
from helpers.fake_teacher import answer_to
from helpers.golden.model import write_model
from srt import cli
from srt.selection.builtin import METHODS
from srt.settings import ReflectConfig
from srt.settings.flags import as_flags
from srt.storage.yaml_files import read_yaml

IN, OUT, MODEL = Path("in"), Path("out"), Path("in/model")
CPU = "--device cpu"
ORIGINALS = [
    {"id": "a", "instruction": "Name three colours.", "input": "", "output": "Red, green and blue."},
    {"id": "b", "instruction": "Translate into French.", "input": "Good day", "output": "Bonjour"},
    {"id": "c", "instruction": "Why is the sky blue?", "input": "", "output": "Air scatters blue light the most."},
    {"id": "d", "instruction": "Say nothing new.", "input": "", "output": "As you wish."},
    {"id": "e", "instruction": "Count to five.", "input": "in words", "output": "One, two, three, four, five."},
    {"id": "f", "instruction": "Greet me.", "input": "", "output": "Hello! \u00fc \u4f60\u597d"},
]
VARIANTS = ("original", "instruction", "response", "both")


@dataclass(frozen=True)
class Step:
    """One step's golden run.

    Attributes:
        inputs: writes `in/`.
        run: runs the step on it, through the command line.
        of_model: whether a model computes the numbers, which are then rounded.
    """

    inputs: Callable[[], None]
    run: Callable[[], None]
    of_model: bool = False


def srt(words: str) -> None:
    """A command; it must end well."""
    code = cli.main(shlex.split(words))
    assert code == 0, f"srt {words}: exit code {code}"


def lines(path: str, rows: list[dict]) -> None:
    (IN / path).write_text("".join(json.dumps(row) + "\n" for row in rows))


def reflected(variant: str) -> list[dict]:
    """What a teacher made of ORIGINALS; of `d` nothing."""
    rows = []
    for pair in ORIGINALS:
        new, failed = {**pair}, pair["id"] == "d"
        if not failed and variant != "response":
            new |= {"instruction": f"In short: {pair['instruction']} {pair['input']}".strip(), "input": ""}
        if not failed:
            new["output"] = f"{pair['output']} That is all, in {len(variant)} words."
        status = {"status": "failed" if failed else "reflected", "reason": "cut off" if failed else None}
        rows.append({**new, **status, "outcome": "cut_off" if failed else "clean", "repairs": [], "critique": None})
    return rows


def write_variants() -> None:
    for variant in VARIANTS:
        lines(f"{variant}.jsonl", ORIGINALS if variant == "original" else reflected(variant))


# prepare


def prepare_inputs() -> None:
    fields = ("instruction", "input", "output")
    rows = [{name: pair[name] for name in fields} for pair in ORIGINALS]
    (IN / "alpaca.json").write_text(json.dumps([*rows, rows[0], {**rows[1], "output": " "}]))
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}, {"from": "human", "value": "More"}]
    lines("turns.jsonl", [{"conversations": turns, "system": "Be kind."}, {"conversations": turns[:2]}])


def prepare_run() -> None:
    srt("prepare in/alpaca.json out/keep.jsonl")
    srt("prepare in/alpaca.json out/drop.jsonl --duplicates drop --limit 7")
    srt("prepare in/turns.jsonl out/turns.jsonl")


# import


def import_inputs() -> None:
    write_variants()
    for variant in VARIANTS:
        rows = ORIGINALS if variant == "original" else reflected(variant)
        lines(f"their_{variant}.jsonl", [{key: row[key] for key in ("instruction", "input", "output")} for row in rows])
    scores = []
    for place, pair in enumerate(ORIGINALS):
        alone = [1 + len(pair["instruction"]) / 64, 1 + len(pair["output"]) / 64]
        losses = [*alone, alone[0] - 0.25, alone[1] - 0.125 * place]
        scores.append(
            {"loss": losses, "ppl": [0.0] * 4 if place == 3 else [round(math.exp(loss), 6) for loss in losses]}
        )
    lines("their_scores.jsonl", scores)


def import_run() -> None:
    texts = "--instruction instruction --input input --output output"
    for variant in VARIANTS[1:]:
        place = f"in/their_{variant}.jsonl in/original.jsonl out/{variant}.jsonl"
        beside = "--beside original=in/their_original.jsonl" + (
            " --beside instruction=in/their_instruction.jsonl" if variant == "both" else ""
        )
        srt(f"import reflections {place} --variant {variant} {beside} {texts} --allowed-mismatches 0")
    names = "--loss loss --ppl ppl --teacher authors --allowed-mismatches 1"
    srt(f"import scores in/their_scores.jsonl in/original.jsonl out/scores.jsonl {names}")
    pairs = " ".join(f"--pairs {variant}=in/{variant}.jsonl" for variant in VARIANTS)
    srt(f"import train in/their_both.jsonl out/run {pairs} {texts} --records {len(ORIGINALS)}")


# reflect


def teacher() -> Callable[[dict, int], str | dict]:
    """It answers well but to two records: one never gets an answer, one has every other answer cut off."""
    greeted = []

    def answer(request: dict, count: int) -> str | dict:
        text = request["messages"][-1]["content"]
        if "Say nothing new." in text:
            return "I would rather not."
        if "Greet me." in text:
            greeted.append(text)
            if len(greeted) % 2:
                return {"message": {"role": "assistant", "content": "It is"}, "finish_reason": "length"}
        return answer_to(text)

    return answer


TEACHER = {
    "model": "teacher",
    "backend": "openai",
    "prompts": "in/tags.yaml",
    "answers": "in/answers.yaml",
    "temperature": 0.0,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "max_new_tokens": 2048,
    "max_pair_tokens": 2048,
    "pair_tokenizer": None,
}


def reflect_run() -> None:
    with FakeJudge(teacher()) as asked:
        settings = as_flags(ReflectConfig.model_validate(read_yaml(IN / "teacher.yaml")))
        flags = f"{settings} --base-url {asked.endpoint.base_url} --journal journal"
        for variant in ("instruction", "response"):
            srt(f"reflect in/original.jsonl out/{variant}.jsonl --variant {variant} {flags}")
        srt(f"reflect in/instruction.jsonl out/both.jsonl --variant both {flags}")


def reflect_inputs() -> None:
    write_variants()
    Path(IN / "teacher.yaml").write_text(yaml.safe_dump(TEACHER))
    for name in ("tags", "answers"):
        shutil.copy(ROOT / f"config/prompts/{name}.yaml", IN)


# score, coherence


def score_inputs() -> None:
    write_variants()
    long = {"id": "long", "instruction": "Go on.", "input": "", "output": "And on, " * 80}
    lines("original.jsonl", [*ORIGINALS, long, {"id": "short", "instruction": "x", "input": "", "output": ""}])
    write_model(MODEL)
    shutil.copy(ROOT / "config/prompts/guess.txt", IN)


def score_run() -> None:
    flags = f"--model in/model --cache cache --guess-prompt in/guess.txt --max-length 512 {CPU}"
    srt(f"score in/original.jsonl out/original.jsonl {flags}")
    for shard in (1, 2):
        srt(f"score in/both.jsonl parts/{shard}.jsonl --shard {shard}/2 {flags}")
    srt("gather in/both.jsonl out/both.jsonl parts/1.jsonl parts/2.jsonl")


def coherence_inputs() -> None:
    write_variants()
    write_model(MODEL)


def coherence_run() -> None:
    srt(f"coherence in/both.jsonl out/both.jsonl --model in/model {CPU}")


# selection


def selection_inputs() -> None:
    write_variants()
    ratios = {"original": (0.75, 0.5), "instruction": (0.875, 0.625), "response": (0.625, 0.25), "both": (0.5, 0.375)}
    for variant, (ifd, r_ifd) in ratios.items():
        rows = [_score(pair["id"], place, variant, ifd, r_ifd) for place, pair in enumerate(ORIGINALS)]
        lines(f"{variant}.scores.jsonl", rows)
        cosines = [{"id": row["id"], "coherence": row["ifd"] and row["ifd"] / 2, "reason": None} for row in rows]
        lines(f"{variant}.coherence.jsonl", cosines)


def _score(name: str, place: int, variant: str, ifd: float, r_ifd: float) -> dict:
    """Of six records: one whose reflection failed, one with a tie, one whose reflection is filtered."""
    nlls = {
        "nll_instruction": 2.5 + place / 8,
        "nll_response": 2.0,
        "nll_instruction_given_response": 2.25,
        "nll_response_given_instruction": 1.5 + place / 16 + len(variant) / 64,
    }
    counts = {key.replace("nll", "tokens"): 5 + place for key in nlls}
    if name == "d" and variant != "original":
        failed = {"status": "failed", "reason": "reflection failed: cut off", "truncated": []}
        return {"id": name, **dict.fromkeys(nlls), **dict.fromkeys(counts, 0), "ifd": None, "r_ifd": None, **failed}
    ifd, r_ifd = ifd + (place - 2) / 16, r_ifd + place / 32
    if name == "e":
        ifd, r_ifd = 0.75, 0.5
    if name == "f" and variant != "original":
        ifd += 0.5
    return {
        "id": name,
        **nlls,
        **counts,
        "ifd": ifd,
        "r_ifd": r_ifd,
        "truncated": [],
        "status": "scored",
        "reason": None,
    }


def selection_run() -> None:
    for method in METHODS:
        if not method.chooses:
            continue
        kinds = {
            "pairs": "",
            "scores": ".scores",
            **({"coherence": ".coherence"} if "coherence" in method.uses else {}),
        }
        files = " ".join(
            f"--{kind} {variant}=in/{variant}{suffix}.jsonl"
            for variant in method.variants
            for kind, suffix in kinds.items()
        )
        seed = "--seed 1" if "seed" in method.uses else ""
        for ratio in (1.0, 0.5):
            srt(f"selection out/{method.name}-{ratio} --method {method.name} --ratio {ratio} {seed} {files}")


# finetune


def finetune_inputs() -> None:
    lines("train.jsonl", ORIGINALS)
    write_model(MODEL)


def finetune_run() -> None:
    """What is kept of the model: its record, and of its weights the names, shapes and types."""
    from safetensors import safe_open

    flags = f"--model in/model --seed 5 --cache cache {CPU} --device-batch 2 --global-batch 4 --epochs 2"
    how = "--dtype float32 --learning-rate 0.003 --max-length 256"
    srt(f"finetune in/train.jsonl model {flags} {how}")
    with safe_open("model/model.safetensors", "pt") as weights:
        parts = {name: weights.get_tensor(name) for name in sorted(weights.keys())}
    shapes = {name: [str(part.dtype), *part.shape] for name, part in parts.items()}
    (OUT / "weights.json").write_text(json.dumps(shapes))
    shutil.copy("model/srt_finetune.json", OUT)


# generate


def generate_inputs() -> None:
    questions = [{"id": "one", "turns": ["Name a fruit.", "Another one?"]}, {"id": "two", "turns": ["Why?"]}]
    (IN / "questions.json").write_text(json.dumps(questions))
    write_model(MODEL)


def generate_run() -> None:
    how = f"--backend transformers --dtype float32 --temperature 0 --max-new-tokens 6 --cache cache {CPU}"
    for prompt in ("vicuna_v1.1", "alpaca"):
        srt(f"generate in/questions.json out/{prompt}.jsonl --model in/model --prompt {prompt} {how}")


# evaluate


QUESTIONS = [f"Question {number}?" for number in range(5)]
JUDGE = {
    "version": 1,
    "about": "a fake one",
    "model": "judge",
    "serve": False,
    "alpaca_eval": "in/prompts/alpaca_eval_logprob",
    "pairwise": "in/prompts/pairwise.yaml",
    "mt_bench": "in/prompts/mt_bench.yaml",
}


def evaluate_inputs() -> None:
    write_model(MODEL)
    for name in ("prompts", "tasks", "demo/items"):
        shutil.copytree(ROOT / "config" / name, IN / name)
    asked = [{"id": f"q{n}", "instruction": text, "output": f"Reference {n}."} for n, text in enumerate(QUESTIONS)]
    turns = [{"id": f"q{n}", "category": ("math", "art")[n % 2], "turns": [text]} for n, text in enumerate(QUESTIONS)]
    published = [
        {"instruction": text, "output_1": f"Reference {n}", "output_2": "Other" + " y" * n, "preference": 1 + n % 2}
        for n, text in enumerate(QUESTIONS)
    ]
    their = {"generator_2": "their model"}
    for name, content in {
        "judge.yaml": JUDGE,
        "references.json": asked,
        "questions.json": turns,
        "annotations.json": [row | their for row in published],
    }.items():
        (IN / name).write_text(json.dumps(content))
    for who in ("ours", "theirs"):
        about = {"tokens": 3, "finish_reason": "stop"}
        answers = [(f"q{n}", text, f"{who}: {'x' * n}") for n, text in enumerate(QUESTIONS)]
        lines(f"{who}.jsonl", [{"id": key, "question": text, "answer": said, **about} for key, text, said in answers])


def verdict(request: dict, count: int) -> str | dict:
    """By the request's text alone: two scores, a grade, or how likely it names the answer that is shown first."""
    text = json.dumps(request["messages"], sort_keys=True)
    number = int(hashlib.sha256(text.encode()).hexdigest()[:4], 16)
    if request.get("logprobs"):
        top = [
            {"token": name, "bytes": [], "logprob": chance}
            for name, chance in (("m", -0.125 * (1 + number % 8)), ("M", -1.5))
        ]
        return {"logprobs": {"content": [{**top[0], "top_logprobs": top}], "refusal": None}}
    scores = [1 + number % 10, 1 + number // 16 % 10]
    return f"{scores[0]} {scores[1]}\nSo it seems." if "two scores" in text else f"{scores[0]}\nSo it is."


def evaluate_run() -> None:
    with FakeJudge(verdict) as judge:
        asked = f"--judge in/judge.yaml --endpoint judge={judge.endpoint.base_url},{KEY_VARIABLE} --cache cache"
        srt(f"evaluate alpaca-eval in/ours.jsonl out/alpaca_eval.json --reference in/references.json {asked}")
        questions = "--questions in/questions.json"
        srt(f"evaluate pairwise in/ours.jsonl in/theirs.jsonl out/pairwise.json {questions} {asked}")
        srt(f"evaluate mt-bench in/ours.jsonl out/mt_bench.json {questions} {asked}")
        srt(f"evaluate calibrate-judge in/annotations.json out/calibration.json --sample 4 {asked}")
    suite = "--suite in/tasks/demo.yaml --data in/demo/items --dtype float32 --limit 2"
    srt(f"evaluate open-llm out/open_llm.json --model in/model {suite} --cache cache {CPU}")


# report


def report_inputs() -> None:
    from helpers.results import inputs_at, small_config, write_results

    write_results(IN / "results")
    (IN / "config.yaml").write_text(small_config(IN, inputs_at(IN / "results")))


def report_run() -> None:
    for part in ("tables", "cards", "html"):
        srt(f"report {part} --config in/config.yaml --out out")


STEPS = {
    "prepare": Step(prepare_inputs, prepare_run),
    "import": Step(import_inputs, import_run),
    "reflect": Step(reflect_inputs, reflect_run),
    "score": Step(score_inputs, score_run, of_model=True),
    "coherence": Step(coherence_inputs, coherence_run, of_model=True),
    "selection": Step(selection_inputs, selection_run),
    "finetune": Step(finetune_inputs, finetune_run, of_model=True),
    "generate": Step(generate_inputs, generate_run, of_model=True),
    "evaluate": Step(evaluate_inputs, evaluate_run, of_model=True),
    "report": Step(report_inputs, report_run),
}


SECTIONS = {"evaluate": ("alpaca_eval", "pairwise", "mt_bench", "calibration", "open_llm")}


def run_step(step: str, folder: Path) -> None:
    """Write a step's inputs into a folder and run it there."""
    keys = mock.patch.dict(os.environ, {KEY_VARIABLE: KEY, "SRT_TEACHER_API_KEY": KEY})
    values = read_yaml(ROOT / "srt/settings/defaults.yaml")
    with contextlib.chdir(folder), keys:
        IN.mkdir()
        OUT.mkdir()
        # Read by nobody; another default is another input, and no other step.
        (IN / "defaults.json").write_text(json.dumps([values.get(name) for name in SECTIONS.get(step, (step,))]))
        STEPS[step].inputs()
        STEPS[step].run()
