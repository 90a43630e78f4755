"""The inputs of the fuzz in small: every file that the program reads, as a small valid one, and what reads it."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

from helpers import ROOT, release
from helpers.fuzzing import JSON, JSONL, PARQUET, TEXT, TSV, YAML, Form, Input, command, findings
from srt.evaluation import _items as items
from srt.evaluation import alpaca_eval, mt_bench, pairwise, suites
from srt.evaluation.questions import read_questions
from srt.experiment import config, layout
from srt.experiment.judges import read_judge
from srt.experiment.table import read_runs
from srt.llm import prompts
from srt.llm.requests import Completion
from srt.prepare import sources
from srt.reflection.cleaning import cleaned, read_cleaning
from srt.reflection.styles import read_style
from srt.settings import JudgeConfig
from srt.storage import journal, sidecars
from srt.storage.yaml_files import read_yaml

PROMPTS = ROOT / "config" / "prompts"
ABOUT = {"generator_1": "reference", "generator_2": "ours", "annotator": "judge"}
PAIR = {"instruction": "Name a colour.", "input": "", "output": "Red is a colour."}
OTHER = {"instruction": "Add up.", "input": "1 and 2", "output": "The sum is 3."}
TURNS = [{"from": "human", "value": "Name a colour."}, {"from": "gpt", "value": "Red is one."}]
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Name a colour."},
    {"role": "assistant", "content": "Red is one."},
]
VARIANTS = ("original", "instruction", "response", "both")


def plain(path: Path) -> Any:
    """The value of one of the project's own YAML files."""
    return read_yaml(path)


def all_inputs(folder: Path) -> list[tuple[Path, Input]]:
    """Every input, with the folder that holds its file and what it needs beside it."""
    made = []
    for make in GROUPS:
        place = folder / make.__name__
        place.mkdir()
        made += [(place, given) for given in make(place)]
    return made


def settings(at: Path) -> list[Input]:
    """Config, run table and the YAML files that a config names."""
    values = plain(ROOT / "config" / "config.yaml")
    small = {**values, "run_table": str(at / "runs.tsv")}
    table = [line.split("\t") for line in (ROOT / "config" / "demo.tsv").read_text().splitlines()]
    (at / "runs.tsv").write_bytes(TSV.dump(table))
    judge = plain(ROOT / "config" / "judges" / "gpt4.yaml")
    suite = plain(ROOT / "config" / "tasks" / "demo.yaml")
    return [
        Input("config", "config.yaml", YAML, small, config.load),
        Input(
            "config (parsed)",
            "config.json",
            JSON,
            small,
            lambda path: config.parse(_parsed(path), "c.json"),
            only_values=True,
        ),
        Input("config (plan)", "plan.yaml", YAML, small, _plan, only_values=True, dear=True),
        Input("run table", "table.tsv", TSV, table, read_runs),
        Input("judge", "judge.yaml", YAML, judge, lambda path: read_judge(str(path))),
        Input("suite", "suite.yaml", YAML, suite, _suite),
    ]


def _plan(path: Path) -> int:
    return command("plan", "--config", path)


def _parsed(path: Path) -> Any:
    """What Snakemake hands over: parsed, whatever it is."""
    try:
        return json.loads(path.read_text())
    except (ValueError, OSError, RecursionError):
        return plain(ROOT / "config" / "config.yaml")


def _suite(path: Path) -> None:
    suite, _ = suites.read_suite(str(path))
    for benchmark, entry in suite.benchmarks.items():
        for task in entry.tasks:
            suites._local(benchmark, entry, task, str(ROOT / "config" / "demo" / "items"))


def texts(at: Path) -> list[Input]:
    """Prompts of teachers and judges, templates, and the answers' phrases."""
    styles = [
        Input(f"style {name}", f"{name}.yaml", YAML, plain(PROMPTS / f"{name}.yaml"), _style)
        for name in ("tags", "json", "turns")
    ]
    template = {"without_input": "Q: {instruction}\nA:", "with_input": "Q: {instruction}\n{input}\nA:"}
    ranking = at / "alpaca_eval_ranking"
    shutil.copytree(PROMPTS / "alpaca_eval_ranking", ranking)
    return [
        *styles,
        Input("answers", "answers.yaml", YAML, plain(PROMPTS / "answers.yaml"), _cleaning),
        Input("pairwise prompt", "pairwise.yaml", YAML, plain(PROMPTS / "pairwise.yaml"), _pairwise_prompt),
        Input("grading prompt", "mt_bench.yaml", YAML, plain(PROMPTS / "mt_bench.yaml"), _grading_prompt),
        Input("annotator", "alpaca_eval_ranking/configs.yaml", YAML, plain(ranking / "configs.yaml"), _annotator),
        Input(
            "annotator prompt",
            "alpaca_eval_ranking/prompt.txt",
            TEXT,
            (ranking / "prompt.txt").read_text(),
            _annotator_prompt,
        ),
        Input(
            "template", "template.yaml", YAML, template, lambda path: prompts.student_template(str(path)).render("a")
        ),
        Input("guess prompt", "guess.txt", TEXT, "Guess: {response}\n", lambda path: prompts.guess_prompt(str(path))),
    ]


def _style(path: Path) -> None:
    style = read_style(str(path))
    style.task_text("a", "b")
    cleaning = read_cleaning(str(PROMPTS / "answers.yaml"))
    known = ("task", "instruction", "input", "response", "new_critique", "new_instruction", "new_response")
    for turn in [*style.instruction, *style.response]:
        turn.chat(dict.fromkeys(known, "X"))
        turn.read(Completion("[New Instruction] a [End] [New Answer] b [End]", 9, "stop"), cleaning)
    style.leak_in("a text", "another")


def _cleaning(path: Path) -> None:
    cleaning = read_cleaning(str(path))
    cleaned("**Here is a better answer:** yes", "instruction", cleaning)
    cleaning.declines("I am sorry")


def _pairwise_prompt(path: Path) -> None:
    prompt = pairwise.read_prompt(str(path))
    json.dumps(pairwise.request(pairwise.Match("1", "q", "a", "b"), False, prompt, served=True))


def _grading_prompt(path: Path) -> None:
    json.dumps(mt_bench.request([("q", "a")], "r", mt_bench.read_grading_prompt(str(path)), served=True))


@functools.cache
def _judge() -> JudgeConfig:
    return read_judge(str(ROOT / "config" / "judges" / "gpt4.yaml"))


def _annotator(path: Path) -> None:
    json.dumps(alpaca_eval.read_annotator(str(path.parent), _judge()).identity)


def _annotator_prompt(path: Path) -> None:
    _annotator(path)


def data(at: Path) -> list[Input]:
    """Data sets, questions and items in every accepted form."""
    nested = {"data": PAIR}
    forms: dict[str, tuple[str, Form, Any]] = {
        "Alpaca JSON": ("a.json", JSON, [PAIR, OTHER]),
        "one record": ("o.json", JSON, PAIR),
        "JSONL": ("a.jsonl", JSONL, [PAIR, OTHER]),
        "JSONL as JSON": ("b.json", JSONL, [PAIR, OTHER]),
        "conversations": ("c.json", JSON, [{"id": 1, "conversations": TURNS}, {"conversations": TURNS * 2}]),
        "messages": ("m.jsonl", JSONL, [{"messages": MESSAGES}, {"messages": MESSAGES[1:]}]),
        "struct": ("s.json", JSON, [nested, {"data": OTHER}]),
        "Parquet": ("p.parquet", PARQUET, [PAIR, OTHER]),
        "Parquet conversations": ("q.parquet", PARQUET, [{"conversations": TURNS}, {"conversations": TURNS}]),
        "Parquet struct": ("r.parquet", PARQUET, [nested, {"data": OTHER}]),
    }
    made = [
        Input(f"data {name}", file, form, value, _prepare, "out/pairs.jsonl")
        for name, (file, form, value) in forms.items()
    ]
    with_ids = [{"id": "a", **PAIR}, {"id": "b", **OTHER}]
    made.append(Input("pairs to score", "ids.jsonl", JSONL, with_ids, sources.read_pairs))
    raw = [{"id": 1, **PAIR}, {"id": 2, **OTHER}]
    made.append(Input("pairs with numbers", "ids.json", JSON, raw, sources.read_pairs))
    return made + _questions() + _items()


def _prepare(path: Path) -> int:
    flags = ["--revision", "null", "--split", "train", "--duplicates", "keep", "--limit", "null"]
    return command("prepare", path, path.parent / "out" / "pairs.jsonl", *flags)


def _questions() -> list[Input]:
    forms: dict[str, tuple[str, Form, Any]] = {
        "AlpacaEval": ("q.json", JSON, [{"instruction": "Why?", "output": "So.", "dataset": "x", "generator": "y"}]),
        "MT-Bench": (
            "mt.jsonl",
            JSONL,
            [{"question_id": 1, "category": "x", "turns": ["a", "b"], "reference": ["c", ""]}],
        ),
        "Self-Instruct": (
            "si.jsonl",
            JSONL,
            [{"id": "1", "instruction": "a", "instances": [{"input": "b", "output": "c"}]}],
        ),
        "Koala": ("k.jsonl", JSONL, [{"id": "koala_1", "prompt": "a"}, {"id": "koala_2", "prompt": "b"}]),
        "LIMA": ("l.jsonl", JSONL, [{"conversations": ["a", "b"], "source": "x"}, {"conversations": ["c"]}]),
        "Parquet": ("q.parquet", PARQUET, [{"question": "a", "idx": 1}, {"question": "b", "idx": 2}]),
    }
    return [
        Input(f"questions {name}", f"questions-{file}", form, value, _asked)
        for name, (file, form, value) in forms.items()
    ]


def _asked(path: Path) -> None:
    for question in read_questions(str(path)):
        question.asked()


def _items() -> list[Input]:
    folder = ROOT / "config" / "demo" / "items"
    files = {"arc": "arc_challenge", "hellaswag": "hellaswag", "mmlu": "mmlu_nutrition", "truthfulqa": "truthfulqa_mc2"}
    made = []
    for benchmark, name in files.items():
        rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()][:2]
        run = functools.partial(_read_items, benchmark)
        made.append(Input(f"items {benchmark}", f"items-{name}.jsonl", JSONL, rows, run))
        made.append(Input(f"items {benchmark} JSON", f"items-{name}.json", JSON, rows, run))
    text = 'question,A,B,C,D,answer\n"Which, then?",a,b,c,d,B\nWhy?,a,b,c,d,2\n'
    made.append(Input("items mmlu CSV", "items-mmlu.csv", TEXT, text, functools.partial(_read_items, "mmlu")))
    return made


def _read_items(benchmark: str, path: Path) -> None:
    json.dumps(items.read_items(path, benchmark), allow_nan=False)


def imports(at: Path) -> list[Input]:
    """What somebody has already made: reflections, scores and train files beside prepared originals."""
    rows = release.some_records(8)
    of_all = release.versions(rows)
    (at / "source.jsonl").write_bytes(JSONL.dump(of_all["original"]))
    flags = ["--revision", "null", "--split", "train", "--duplicates", "keep", "--limit", "null"]
    assert command("prepare", at / "source.jsonl", at / "original.jsonl", *flags) == 0
    instruction = [{"data": row} for row in of_all["instruction"]]
    scores = [{"data": row} for row in _finite(release.scores(of_all["original"], failing=False))]
    train = of_all["both"][:3]
    (at / "both.jsonl").write_bytes((at / "original.jsonl").read_bytes())
    sidecar = json.loads((at / "original.meta.json").read_text())
    return [
        Input("reflections", "i.json", JSON, instruction, _reflections, "out/i.jsonl"),
        Input("reflections Parquet", "i.parquet", PARQUET, instruction, _reflections, "out/i.jsonl"),
        Input("scores", "s.json", JSON, scores, _scores, "out/s.jsonl"),
        Input("scores JSONL", "s.jsonl", JSONL, scores, _scores, "out/s.jsonl"),
        Input("scores Parquet", "s.parquet", PARQUET, scores, _scores, "out/s.jsonl"),
        Input("train", "t.json", JSON, train, lambda path: _train(path, ()), "out/run/train.jsonl"),
        Input("train JSONL", "t.jsonl", JSONL, train, lambda path: _train(path, ()), "out/run/train.jsonl"),
        Input("sidecar of pairs", "original.meta.json", JSON, sidecar, _beside_sidecar, "out/s.jsonl", optional=True),
    ]


def _finite(rows: Any) -> Any:
    return rows


def _reflections(path: Path) -> int:
    words = [word for name, column in release.TEXTS.items() for word in (f"--{name}", column)]
    place = [path, path.parent / "original.jsonl", path.parent / "out" / "i.jsonl"]
    return command("import", "reflections", *place, "--variant", "instruction", "--allowed-mismatches", 0, *words)


def _scores(path: Path) -> int:
    words = [word for name, column in release.COLUMNS.items() for word in (f"--{name}", column)]
    place = [path, path.parent / "original.jsonl", path.parent / "out" / "s.jsonl"]
    more = ["--teacher", "null", "--allowed-mismatches", 0, "--use-student", "llama"]
    return command("import", "scores", *place, *words, *more)


def _beside_sidecar(path: Path) -> int:
    rows = [{"data": row} for row in release.scores(release.versions(release.some_records(8))["original"], False)]
    (path.parent / "valid.json").write_bytes(JSON.dump(rows))
    return _scores(path.parent / "valid.json")


def _train(path: Path, pairs: tuple[str, ...]) -> int:
    words = ["--instruction", "instruction", "--input", "input", "--output", "output", "--records", "null"]
    return command("import", "train", path, path.parent / "out" / "run", *words, *pairs)


def score(key: str, ifd: float = 0.5) -> dict[str, Any]:
    """A line of scores."""
    names = ("instruction", "response", "instruction_given_response", "response_given_instruction")
    nlls = {f"nll_{name}": 2.0 for name in names} | {f"tokens_{name}": 9 for name in names}
    more = {"ifd": ifd, "r_ifd": ifd, "truncated": [], "status": "scored", "reason": None}
    return {"id": key, **nlls, **more}


def reflected(key: str) -> dict[str, Any]:
    """A line of reflected pairs."""
    status = {"status": "reflected", "outcome": "clean", "reason": None, "repairs": [], "critique": "Too short."}
    return {"id": key, **PAIR, **status}


def records(at: Path) -> list[Input]:
    """The steps' own files, as the next step reads them; journals."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, variant in enumerate(VARIANTS):
        rows[f"{variant}.jsonl"] = [({"id": k, **PAIR} if variant == "original" else reflected(k)) for k in "ab"]
        rows[f"{variant}.scores.jsonl"] = [score(key, 0.5 + number / 10) for key in "ab"]
        rows[f"{variant}.cos.jsonl"] = [{"id": key, "coherence": 0.1 * number, "reason": None} for key in "ab"]
        sidecar = {
            "model": "m",
            "identity": "i",
            "settings": {"dtype": "float32"},
            "texts": {"t": "1"},
            "batch_tokens": 9,
        }
        (at / f"{variant}.scores.meta.json").write_bytes(JSON.dump(sidecar))
    for name, value in rows.items():
        (at / name).write_bytes(JSONL.dump(value))
    rescored = [{"record": "a", "variant": "both", "ratios": ["ifd"], "score": score("a")}]
    (at / "rescored.jsonl").write_bytes(JSONL.dump(rescored))
    out = "run/train.jsonl"
    entries = [{"key": f"k{n}", "value": {"text": "a", "tokens": n}} for n in range(3)]
    return [
        Input("pairs", "both.jsonl", JSONL, rows["both.jsonl"], _select, out),
        Input("scores of a step", "both.scores.jsonl", JSONL, rows["both.scores.jsonl"], _select, out),
        Input("coherences", "both.cos.jsonl", JSONL, rows["both.cos.jsonl"], _select_coherence, out),
        Input("rescored", "rescored.jsonl", JSONL, rescored, _select, out),
        Input("sidecar of scores", "both.scores.meta.json", JSON, sidecar, _select, out, optional=True),
        Input("shards", "original.scores.jsonl", JSONL, rows["original.scores.jsonl"], _gather, "gathered.jsonl"),
        Input("sidecar of a shard", "original.scores.meta.json", JSON, sidecar, _gather, "gathered.jsonl"),
        Input("journal", "journal/j.jsonl", JSONL, entries, _journal, lenient=True),
        Input("journal of a teacher", "teacher/j.jsonl", JSONL, entries, _teacher, lenient=True),
    ]


def _files(at: Path, flag: str, ending: str) -> list[Any]:
    return [word for variant in VARIANTS for word in (flag, f"{variant}={at / f'{variant}{ending}'}")]


def _select(path: Path, method: str = "selective", more: tuple[Any, ...] = ()) -> int:
    at = path.parent
    files = [*_files(at, "--pairs", ".jsonl"), *_files(at, "--scores", ".scores.jsonl")]
    return command(
        "selection", at / "run", *files, "--rescored", at / "rescored.jsonl", "--method", method, "--ratio", 1, *more
    )


def _select_coherence(path: Path) -> int:
    return _select(path, "coherence", tuple(_files(path.parent, "--coherence", ".cos.jsonl")))


def _gather(path: Path) -> int:
    at = path.parent
    return command("gather", at / "original.jsonl", at / "gathered.jsonl", at / "original.scores.jsonl")


def _journal(path: Path) -> None:
    if path.is_dir() or path.is_symlink():
        return
    journal.entries_of(path.parent)
    journal.Journal(path).close()


def _teacher(path: Path) -> None:
    from srt.llm.asking import Known

    Known.read(path.parent, "identity", None, False)
    Known.read(path.parent.parent, "identity", None, False)


def evaluations(at: Path) -> list[Input]:
    """Published judgments, recomputed."""
    rows = [
        {"instruction": "x", "output_1": "a", "output_2": "b", "preference": 2, **ABOUT},
        {"instruction": "y", "output_1": "a", "output_2": "c", "preference": 1.0, **ABOUT},
    ]
    outputs = [{"instruction": i, "output": o, "generator": "ours"} for i, o in (("x", "b"), ("y", "c"))]
    judged = [{"id": 1, "a_first": [8, 7], "b_first": [6, 8]}, {"id": "b", "a_first": None, "b_first": [6.5, 8]}]
    (at / "annotations.json").write_bytes(JSON.dump(rows))
    (at / "outputs.json").write_bytes(JSON.dump(outputs))
    return [
        Input("annotations", "annotations.json", JSON, rows, _replay, "replayed.json"),
        Input("outputs", "outputs.json", JSON, outputs, _replay, "replayed.json"),
        Input("judgments", "judgments.jsonl", JSONL, judged, _judgments, "replayed.json"),
    ]


def _replay(path: Path) -> int:
    at = path.parent
    words = ["--annotations", at / "annotations.json", "--outputs", at / "outputs.json", at / "replayed.json"]
    return command("evaluate", "alpaca-eval", *words)


def _judgments(path: Path) -> int:
    return command("evaluate", "pairwise", "--judgments", path, path.parent / "replayed.json")


def results(at: Path) -> list[Input]:
    """What the report, `srt explain` and `srt plan` read of a results folder, and the paper's figures."""
    tree = at / "results"
    table = [
        ["run", "dataset", "teacher", "student", "method", "ratio", "recipe", "seed"],
        ["base", "-", "-", "tiny", "none", "-", "-", "-"],
        ["run", "toy", "sage", "tiny", "selective", "1", "quick", "0"],
    ]
    (at / "runs.tsv").write_bytes(TSV.dump(table))
    small = {
        "run_table": str(at / "runs.tsv"),
        "results": str(tree),
        "responses": "all",
        "evaluate": {"pairwise": {"questions": ["wizardlm"], "opponents": ["base"]}},
        "report": {"notice": None, "compare": {"run": "sRecycled Alpaca 7B"}, "licences": {"toy": "MIT"}},
    }
    (at / "report.yaml").write_bytes(YAML.dump(small))
    run = read_runs(at / "runs.tsv")[1]
    files: dict[str, Any] = {}
    for variant, name in layout.pairs_paths(run, "all").items():
        files[name] = [({"id": k, **PAIR} if variant == "original" else reflected(k)) for k in "ab"]
    files |= {name: [score(key) for key in "ab"] for name in layout.scores_paths(run, "all").values()}
    facts = {"original": {"ifd": 0.5, "r_ifd": 0.5, "perplexity": 2.0}, "both": {"absent": "x"}}
    ledger = [
        {"id": key, "candidates": facts, "chosen": "original", "branch": "kept", "kept": True, "reason": "selected"}
        for key in "ab"
    ]
    files[layout.LEDGER.format(run="run")] = ledger
    files[layout.TRAIN.format(run="run")] = [{"id": key, **PAIR} for key in "ab"]
    for name, value in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(JSONL.dump(value))
    win = _evaluation("alpaca_eval", {"win_rate": 20.5, "wins": 1, "draws": 0, "avg_length": 33.5})
    tasks = _evaluation("open_llm_v1", dict.fromkeys(("average", "arc", "hellaswag", "mmlu", "truthfulqa"), 30.5))
    tasks["settings"] = {"reported": "open_llm", "mean": "subjects", "limit": None}
    pairs = _evaluation("pairwise_wizardlm_base", {"wins": 1, "ties": 1, "losses": 0, "winning_score": 1.5})
    trained = {
        "settings": {"global_batch": 128, "optimizer": "adamw"},
        "steps": 3,
        "seconds": 1.5,
        "versions": {"torch": "2"},
        "losses": [{"step": 1, "loss": 2.0}],
    }
    spent = {"requests": 1, "prompt_tokens": 2, "completion_tokens": 3, "usd": 0.5}
    sidecar = {"settings": {"model": "sage"}, "teacher_in_all": spent, "versions": {"srt": "0"}, "reasons": {}}
    single: dict[str, Any] = {
        layout.EVALUATION.format(run="run", benchmark="alpaca_eval"): win,
        layout.EVALUATION.format(run="run", benchmark="open_llm_v1"): tasks,
        layout.EVALUATION.format(run="run", benchmark="pairwise_wizardlm_base"): pairs,
        layout.TRAINING.format(run="run"): trained,
        sidecars.meta_of(layout.pairs_paths(run, "all")["both"]): sidecar,
    }
    for name, value in single.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(JSON.dump(value))
    tables = functools.partial(_report, at, "tables")
    made = [
        Input(f"report: {Path(name).stem}", f"results/{name}", JSON, value, tables, optional=True, dear=True)
        for name, value in single.items()
        if not name.endswith(".meta.json")  # of which the tables take nothing
    ]
    artefact: dict[str, Any] = {"optional": True, "may_be_empty": True, "dear": True}
    chosen = [layout.LEDGER.format(run="run"), layout.pairs_paths(run, "all")["both"]]
    chosen.append(layout.scores_paths(run, "all")["both"])
    made += [Input(f"report: {name}", f"results/{name}", JSONL, files[name], tables, **artefact) for name in chosen]
    made += [
        Input(f"explain: {name}", f"results/{name}", JSONL, files[name], functools.partial(_explain, at), lenient=True)
        for name in chosen
    ]
    cards = functools.partial(_report, at, "cards")
    made += [
        Input(f"cards: {Path(name).stem}", f"results/{name}", JSON, single[name], cards, optional=True, dear=True)
        for name in (layout.TRAINING.format(run="run"), sidecars.meta_of(layout.pairs_paths(run, "all")["both"]))
    ]
    html = functools.partial(_report, at, "html")
    made += [
        Input(f"page: {Path(name).stem}", f"results/{name}", JSON, value, html, optional=True, dear=True)
        for name, value in single.items()
    ]
    return [
        *made,
        Input("config (results)", "small.yaml", YAML, small, config.load_results),
        Input("reported figures", "reported.yaml", YAML, plain(ROOT / "srt" / "report" / "reported.yaml"), _reported),
    ]


def _evaluation(benchmark: str, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "benchmark": benchmark,
        "metrics": [{"name": name, "value": float(value), "se": 0.5, "n": 2} for name, value in values.items()],
        "judge": {"name": "gpt4", "version": 1, "model": "gpt-4", "prompt_sha256": "00"},
        "task_versions": {"questions": {"source": "q", "n": 2, "sha256": "00"}},
        "settings": {"limit": None},
        "versions": {"srt": "0"},
        "missing": {"no answer": 1},
        "notes": {"odd": 1},
    }


def _report(at: Path, part: str, _: Path) -> int:
    return command("report", part, "--config", at / "report.yaml", "--out", at / "out")


def _explain(at: Path, _: Path) -> int:
    return command("explain", "a", "--results", at / "results")


def _reported(path: Path) -> None:
    from srt.report.reported import Reported
    from srt.settings.values import validated

    found = validated(Reported, read_yaml(path), str(path))
    found.win_rates()
    found.leaderboard()
    for name in found.models:
        found.training_records(name)
    for row in found.pairwise.rows.values():
        _ = (row.winning_score, row.se)


GROUPS = (settings, texts, data, imports, records, evaluations, results)


def main() -> None:
    """Print every finding on the code that is on the path: `python -m helpers.fuzz_inputs [VALUES] [NAME]`."""
    import sys
    import tempfile
    from collections import Counter

    values, name = int((sys.argv[1:2] or ["60"])[0]), (sys.argv[2:3] or [""])[0]
    total, kinds = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for place, given in all_inputs(Path(folder)):
            if name in given.name:
                tried, found = findings(given, place, values)
                total += tried
                kinds.update(each.kind for each in found)
                for each in found:
                    print(each, flush=True)
    print(total, dict(kinds), file=sys.stderr)


if __name__ == "__main__":
    main()
