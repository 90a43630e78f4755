"""No value of a config is more than text to a shell: what cannot be held is refused, all else arrives as written."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.cases import changed
from helpers.tree import copy_of_tree, snakemake
from srt import cli
from srt.experiment.config import default_config, parse
from srt.experiment.runs import Run
from srt.settings import ReflectConfig
from srt.settings.flags import flag
from srt.settings.values import validated
from srt.storage.errors import InputError
from srt.storage.files import read_records
from srt.storage.records import Pair
from srt.storage.yaml_files import read_yaml

Values = dict[str, Any]
# What a shell, a pattern of file names, or an argument parser would make something of.
NASTY = " $(touch owned)`touch owned`;touch owned|&<>'\"*?[1]#\\!é☃=,:%~ end"
BRACES = "{x} {{y}} {0} {input.pairs} {wildcards}\nand more"
NASTY_ADDRESS = "/$(touch:owned);x=1&y='z'*?[1]#!"
MARK = re.compile(r"K\d+K")
COLUMNS = "run\tdataset\tteacher\tstudent\tmethod\tratio\trecipe\tseed\tscorer\n"
RUNS = (
    ("base", "-", "-", "small", "none", "-", "-", "-", "-"),
    ("cheap", "plain", "asked", "small", "selective", "0.5", "demo", "0", "proxy"),
    ("near", "plain", "asked", "small", "coherence", "0.5", "-", "0", "-"),
    ("theirs", "foreign", "sage", "scored", "selective", "0.5", "-", "0", "-"),
    ("taken", "foreign", "sage", "scored", "given", "-", "-", "-", "-"),
)
FILES = ("original", "instruction", "response", "both")


class Marks:
    """Numbered marks that go into the texts of a config, each with its own end."""

    def __init__(self, **ends: str) -> None:
        self.by_kind, self.ends = ends, {}
        self.unsaid: set[str] = set()  # what no command says, as the report reads it in the config's file

    def __call__(self, kind: str = "path", before: str = "") -> str:
        mark = f"K{len(self.ends)}K"
        self.ends[mark] = self.by_kind.get(kind, "")
        return before + mark + self.ends[mark]

    def plain(self, word: str) -> str:
        """A word without the ends of its marks, which must all be there."""
        for mark in MARK.findall(word):
            assert mark + self.ends[mark] in word
            word = word.replace(mark + self.ends[mark], mark)
        return word


def everything(tree: Path, mark: Marks) -> str:
    """A config that has every rule make something, with a mark in each of its texts; the path of the file."""
    values = read_yaml(default_config())
    judge = {**read_yaml(Path("config/judges/smollm2.yaml")), "model": "one/judge"}
    judges = [f"{mark()}/{name}.yaml" for name in ("first", "second")]
    for path in judges:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(yaml.safe_dump(judge))
    files = lambda: {variant: mark() for variant in FILES}  # noqa: E731
    columns = lambda *names: {name: mark("text") for name in names}  # noqa: E731
    data = {"revision": mark("text"), "split": mark("text"), "duplicates": "keep", "limit": None}
    teacher = changed(values["teachers"]["smollm2"], ReflectConfig, backend="openai", model=mark())
    teacher |= {"prompts": mark(), "answers": mark(), "pair_tokenizer": mark(before="owner/")}
    student, proxy = [
        {"model": mark(before="owner/"), "revision": mark("text"), "prompt": "chat"} for _ in ("student", "proxy")
    ]
    values |= {"run_table": f"{mark()}.tsv", "results": mark(), "cache": mark()}
    values["datasets"] = {name: {**data, "source": mark()} for name in ("plain", "foreign")}
    values["teachers"] = {"asked": teacher}
    values["students"] = {"small": student, "proxy": proxy, "scored": student}
    misfits = {"allowed_mismatches": 0}
    reflections = {**columns("instruction", "input", "output"), **misfits, "files": files()}
    scores = {"teacher": "sage", **columns("loss", "ppl"), **misfits, "files": files()}
    train = {"source": mark(), **columns("instruction", "input", "output"), "records": None}
    judged = {"source": mark(), "outputs": mark()}
    values["given"] = {
        "reflections": {"sage": {"foreign": reflections}},
        "scores": {"scored": {"foreign": scores}},
        "train": {"taken": train},
        "judgments": {"base": {"alpaca_eval": judged}},
    }
    values["score"] |= {"dtype": "bfloat16", "precision": "exact", "template": mark(), "guess_prompt": mark()}
    values["coherence"]["embedding"] = mark(before="owner/")
    for questions in values["questions"].values():
        questions["source"] = mark()
    first = {"judge": judges[0], "missing_share": 0.0}
    alpaca_eval = {**first, "reference": mark(), "length_controlled": mark()}
    values["evaluate"] |= {
        "alpaca_eval": alpaca_eval,
        "alpaca_eval_2": {**alpaca_eval, "judge": judges[1], "reference": mark()},
        "pairwise": {**first, "questions": ["alpaca_eval"], "opponents": ["base"]},
        "mt_bench": first,
    }
    values["evaluate"]["open_llm"]["demo"] |= {"suite": mark(), "data": mark()}
    values["evaluate"]["calibration"]["annotations"] = [mark(), mark()]
    licences = {name: mark("text") for name in values["datasets"]}
    values["report"] = {"notice": mark("text"), "compare": {"cheap": "sRecycled Alpaca 7B"}, "licences": licences}
    mark.unsaid = set(MARK.findall(str([values["run_table"], values["report"]])))
    server = {"base_url": mark("address", "http://host/"), "api_key_env": "KEY"}
    price = {"prompt": 0.1, "completion": 0.2, "batch": 0.5}
    values["execution"] |= {"endpoints": {"asked": server, "first": server}, "prices": {"asked": price}}
    (tree / values["run_table"]).write_text(COLUMNS + "".join("\t".join(row) + "\n" for row in RUNS))
    path = mark() + ".yaml"
    (tree / path).write_text(yaml.safe_dump(values, allow_unicode=True))
    return path


def commands(tree: Path, config: str) -> list[list[str]]:
    """The words of every printed command; what the config names need not be there."""
    check = tree / "workflow/rules/check.smk"
    check.write_text(check.read_text().replace("logger.addFilter(BeforeJobs())\n", ""))
    code, out, err = snakemake(tree, "all", "so_far", "table_1", "figure_pairwise", "-np", "--configfile", config)
    assert code == 0, out + err
    found = re.findall(r"^Shell command: (.+? 2>&1)$", out + err, re.MULTILINE | re.DOTALL)
    return [[word.replace(str(tree), "") for word in shlex.split(line)] for line in found]


@pytest.mark.slow
def test_every_text_of_a_config_reaches_its_command_as_it_is(tmp_path: Path) -> None:
    """The commands of a config of nasty texts are, word for word, those of plain texts."""
    found, marks = [], []
    for name, ends in (("plain", {}), ("nasty", {"path": NASTY, "text": NASTY + BRACES, "address": NASTY_ADDRESS})):
        mark, tree = Marks(**ends), copy_of_tree(tmp_path / name)
        words = commands(tree, everything(tree, mark))
        found.append(sorted([mark.plain(word) for word in command] for command in words))
        marks.append(set(MARK.findall(str(words))))
        for command in words:
            if command[0] == "srt":
                cli.build_parser().parse_args(command[1 : command.index(">")])
    assert found[0] == found[1]
    assert {command[1] for command in found[0]} >= {"prepare", "reflect", "score", "gather", "coherence", "agreement"}
    assert {f"K{number}K" for number in range(len(mark.ends))} - marks[0] == mark.unsaid


NAMES = [
    "",
    ".",
    "..",
    "a/b",
    "a\\b",
    "a b",
    "-a",
    ".a",
    "$(touch owned)",
    "a;b",
    "naïve",
    "数据",
    "a\n",
    "{a}",
    "a:b",
    "x" * 81,
]
PATHS = ["", " a", "a ", "-a", "~/a", "a\nb", "a\x00b", "a\x1b[0m", "{a}", "a/{b}", "\udc80"]
ADDRESSES = [
    "",
    "host/v1",
    "ftp://host",
    "http://ho st",
    "http://host/\n",
    "http://host,KEY",
    "http://host/{x}",
    "http://h/`x`",
]
PLACES = {  # where the name of a map's entry, or a text, stands in a config
    ("datasets",): NAMES,
    ("teachers",): NAMES,
    ("students",): NAMES,
    ("recipes",): NAMES,
    ("questions",): NAMES,
    ("generate",): NAMES,
    ("evaluate", "open_llm"): NAMES,
    ("given", "reflections"): NAMES,
    ("given", "scores"): NAMES,
    ("given", "train"): NAMES,
    ("given", "judgments"): NAMES,
    ("execution", "endpoints"): NAMES,
    ("execution", "prices"): NAMES,
    ("run_table",): PATHS,
    ("results",): PATHS,
    ("cache",): PATHS,
    ("datasets", "demo", "source"): PATHS,
    ("teachers", "smollm2", "model"): PATHS,
    ("teachers", "smollm2", "prompts"): PATHS,
    ("teachers", "smollm2", "answers"): PATHS,
    ("teachers", "smollm2", "pair_tokenizer"): PATHS,
    ("students", "smollm2", "model"): PATHS,
    ("score", "template"): PATHS,
    ("score", "guess_prompt"): PATHS,
    ("coherence", "embedding"): PATHS,
    ("questions", "mt_bench", "source"): PATHS,
    ("evaluate", "alpaca_eval", "reference"): PATHS,
    ("evaluate", "alpaca_eval", "judge"): PATHS,
    ("evaluate", "alpaca_eval", "length_controlled"): PATHS,
    ("evaluate", "open_llm", "demo", "suite"): PATHS,
    ("evaluate", "open_llm", "demo", "data"): PATHS,
    ("datasets", "demo", "revision"): ["a\x00b"],
    ("report", "notice"): ["a\x00b", "\udc80"],
    ("report", "licences", "demo"): ["a\x1bb"],
    ("execution", "endpoints", "local", "base_url"): ADDRESSES,
    ("execution", "endpoints", "local", "api_key_env"): ["", "A B", "1A", "$(touch owned)", "KEY,", "é"],
}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_what_no_command_or_file_can_be_called_is_refused(place: tuple[str, ...], tmp_path: Path) -> None:
    for text in PLACES[place]:
        values = read_yaml(default_config())
        values["execution"]["endpoints"] = {"local": {"base_url": "http://host/v1", "api_key_env": None}}
        *above, last = place
        section = values
        for key in above:
            section = section[key]
        if PLACES[place] is NAMES:
            section[last][text] = next(iter(section[last].values()), {})
        else:
            section[last] = text
        with pytest.raises(InputError, match=re.escape(".".join(place[:-1]) or last)) as refused:
            parse(values, "mine.yaml")
        assert "expected" in str(refused.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_and_a_judge_have_names_of_the_same_kind(name: str, tmp_path: Path) -> None:
    row = dict.fromkeys(("dataset", "teacher", "ratio", "recipe", "seed"))
    with pytest.raises(InputError, match=r"^runs\.tsv: run: expected at most 80"):
        validated(Run, {"run": name, "student": "small", "method": "none", **row}, "runs.tsv")


def test_a_judges_file_has_a_name_that_an_endpoint_can_have(tmp_path: Path) -> None:
    values = read_yaml(default_config())
    values["evaluate"]["mt_bench"]["judge"] = "config/judges/my judge.yaml"
    with pytest.raises(
        InputError, match=r"evaluate: the judge's name is that of its file: expected at most 80 .*my judge"
    ):
        parse(values, "mine.yaml")


def test_names_that_differ_in_capitals_only_are_refused() -> None:
    values = read_yaml(default_config())
    values["datasets"]["Demo"] = values["datasets"]["demo"]
    with pytest.raises(InputError, match=r"^mine\.yaml: datasets: expected names .* found 'Demo' and 'demo'$"):
        parse(values, "mine.yaml")


def test_values_that_look_like_flags_are_none() -> None:
    args = cli.build_parser().parse_args(["report", "html", "R", *shlex.split(flag("config", "-n x"))])
    assert args.config == Path("-n x")


@pytest.mark.slow
def test_files_and_folders_of_any_name_are_the_named_ones(tmp_path: Path) -> None:
    """Through a real shell: a neighbour that a name matches as a pattern, blanks, commands, braces in a notice."""
    tree = copy_of_tree(tmp_path / "tree")
    sources = {
        "square": "alpaca[1].json",
        "blank": "my data.json",
        "command": "$(touch owned).json",
        "quotes": 'it\'s "a".json',
    }
    record = {"input": "", "output": "It is so."}
    for name, source in {**sources, "neighbour": "alpaca1.json"}.items():
        (tree / source).write_text(json.dumps([{**record, "instruction": name}]))
    values = read_yaml(default_config())
    values["datasets"] = {name: {**values["datasets"]["demo"], "source": source} for name, source in sources.items()}
    values["students"] = {"small": {"model": "owner/none", "revision": None, "prompt": "chat"}}
    values |= {"results": "out; touch owned", "run_table": "my runs.tsv"}
    values["report"] = {"notice": "$(touch owned) {x}\n`touch owned`", "compare": {}, "licences": {}}
    values["evaluate"] |= dict.fromkeys(("pairwise", "open_llm"))
    rows = [("base", "-", "-", "small", "none", "-", "-", "-", "-")]
    rows += [(name, name, "-", "small", "original", "1", "-", "0", "-") for name in sources]
    (tree / "my runs.tsv").write_text(COLUMNS + "".join("\t".join(row) + "\n" for row in rows))
    (tree / "my config.yaml").write_text(yaml.safe_dump(values))
    results = tree / "out; touch owned"
    trains = [f"out; touch owned/runs/{name}/train.jsonl" for name in sources]
    for targets in (trains, ["so_far"]):
        code, out, err = snakemake(tree, *targets, "--cores", "2", "--configfile", "my config.yaml")
        assert code == 0, out + err
    for name in sources:
        (pair,) = read_records(results / f"runs/{name}/train.jsonl", Pair)
        assert pair.instruction == name
    assert "$(touch owned) {x}\n`touch owned`" in (results / "so_far/report.html").read_text()
    assert not list(tree.rglob("owned"))
