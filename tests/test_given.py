"""What somebody has already made: taken where it fits the data, refused in one line with the first record otherwise."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import release as released
import yaml

from srt import cli
from srt.config import default_config, load, read_yaml
from srt.given.rows import short
from srt.prepare import prepare
from srt.records import InputError, LedgerEntry, Pair, ReflectedPair, Score, read_json, read_records
from srt.settings import PrepareConfig

PREPARE = {"source": "", "revision": None, "split": "train", "duplicates": "keep", "limit": None}
VARIANTS = tuple(released.SPLITS)


class Import:
    """A release, its prepared originals, and the import commands with their flags."""

    def __init__(self, folder: Path, rows: released.Rows, **changes: Any) -> None:
        self.folder, self.release = folder, released.release(folder / "release", rows)
        source = self.release["texts/original"]
        prepare(str(source), folder / "original.jsonl", PrepareConfig(**{**PREPARE, **changes}))
        self.original = folder / "original.jsonl"

    def pairs(self, variant: str) -> Path:
        return self.original if variant == "original" else self.folder / f"{variant}.jsonl"

    def scores(self, variant: str) -> Path:
        return self.folder / f"{variant}.scores.jsonl"

    def reflections(self, variant: str, source: Path | None = None, allowed: int = 0, beside: bool = True) -> int:
        names = (["original"] + ["instruction"] * (variant == "both")) if beside else []
        words = [word for n in names for word in ("--beside", f"{n}={self.release[f'texts/{n}']}")]
        words += [word for name, column in released.TEXTS.items() for word in (f"--{name}", column)]
        place = [source or self.release[f"texts/{variant}"], self.original, self.pairs(variant)]
        words += ["--variant", variant, "--allowed-mismatches", str(allowed)]
        return cli.main(["import", "reflections", *map(str, place), *words])

    def import_scores(self, variant: str, source: Path | None = None, allowed: int = 0, beside: str = "") -> int:
        words = [word for name, column in released.COLUMNS.items() for word in (f"--{name}", column)]
        words += ["--teacher", "authors", "--allowed-mismatches", str(allowed), "--use-student", "llama"]
        words += ["--original", str(self.original)]
        words += (
            ["--pairs", f"{beside}={self.pairs(beside)}", "--scores", f"{beside}={self.scores(beside)}"]
            if beside
            else []
        )
        place = [source or self.release[f"scores/{variant}"], self.pairs(variant), self.scores(variant)]
        return cli.main(["import", "scores", *map(str, place), *words])

    def train(self, source: Path, *, records: str = "null", matched: bool = True) -> int:
        words = [word for name, column in released.TEXTS.items() for word in (f"--{name}", column)]
        words += [word for v in VARIANTS if matched for word in ("--pairs", f"{v}={self.pairs(v)}")]
        return cli.main(["import", "train", str(source), str(self.folder / "run"), *words, "--records", records])

    def all(self) -> None:
        for variant in VARIANTS[1:]:
            assert self.reflections(variant) == 0
        for variant, beside in zip(VARIANTS, ("", "original", "original", "instruction"), strict=True):
            assert self.import_scores(variant, beside=beside) == 0


@pytest.fixture
def made(tmp_path: Path) -> Import:
    return Import(tmp_path, released.some_records())


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Any:
    """What a refused command says: one line, and no file."""

    def told(code: int, out: Path) -> str:
        err = capsys.readouterr().err
        assert code == 2, err
        *progress, last = err.splitlines()
        assert last.startswith("srt: "), err
        assert not any(said.startswith(("srt: ", "Traceback")) for said in progress), err
        assert not out.exists()
        assert not Path(str(out).replace(".jsonl", ".meta.json")).exists()
        return last.removeprefix("srt: ")

    return told


def changed(made: Import, name: str, change: Any) -> Path:
    """A copy of a file of the release after `change(rows)`."""
    from pyarrow import parquet

    rows = [row["data"] for row in parquet.read_table(made.release[name]).to_pylist()]
    return released.write(made.folder / "changed" / f"{name.replace('/', '-')}.parquet", change(rows) or rows)


def shuffle(rows: released.Rows) -> None:
    random.Random(1).shuffle(rows)


# --- Reflections --------------------------------------------------------------------------------------------------


def test_reflections_come_in_with_their_records_ids_and_outcomes(made: Import) -> None:
    made.all()
    ids = [pair.id for pair in read_records(made.original, Pair)]
    found = {variant: read_records(made.pairs(variant), ReflectedPair) for variant in VARIANTS[1:]}
    assert all([pair.id for pair in pairs] == ids for pairs in found.values())
    assert found["instruction"][0].instruction.startswith("In depth: Describe ")
    assert found["instruction"][0].outcome == "clean"
    unchanged = found["instruction"][released.UNCHANGED]
    assert (unchanged.status, unchanged.outcome, unchanged.reason) == (
        "failed",
        "unchanged",
        "the pair is the original one",
    )
    kept = found["instruction"][released.OLD_RESPONSE]
    assert (kept.status, kept.outcome, kept.repairs) == ("reflected", "repaired", ["the output is the old one"])
    assert found["response"][released.REPEATED].outcome == "repeated"
    assert found["both"][released.UNCHANGED].outcome == "upstream"
    assert sum(pair.status == "failed" for pairs in found.values() for pair in pairs) == 3
    meta = read_json(made.folder / "both.meta.json")
    assert meta["counts"] == {"reflected": 39, "failed": 1}
    assert len(meta["given"]["sha256"]) == 64


def test_what_prepare_left_out_does_not_move_the_rest(tmp_path: Path) -> None:
    records = released.some_records()
    records[4]["output"] = ""
    records[6] = dict(records[2])
    made = Import(tmp_path, records, duplicates="drop", limit=30)
    assert read_json(tmp_path / "original.meta.json")["left_out"] == [4, 6]
    made.all()
    assert len(read_records(made.pairs("response"), ReflectedPair)) == 28
    for pair, reflected in zip(
        read_records(made.original, Pair), read_records(made.pairs("response"), ReflectedPair), strict=True
    ):
        assert pair.instruction == reflected.instruction
        assert reflected.output in (pair.output, f"Better: {pair.output}")
    assert [score.id for score in read_records(made.scores("both"), Score)] == [
        pair.id for pair in read_records(made.original, Pair)
    ]


def test_an_empty_reflection_has_failed(made: Import) -> None:
    def empty(rows: released.Rows) -> None:
        rows[0]["output"] = " "

    assert made.reflections("instruction", changed(made, "texts/instruction", empty)) == 0
    first = read_records(made.pairs("instruction"), ReflectedPair)[0]
    old = read_records(made.original, Pair)[0]
    assert (first.status, first.outcome, first.output) == ("failed", "empty", old.output)


@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_shuffled_reflections_are_refused(made: Import, line: Any, variant: str) -> None:
    source = changed(made, f"texts/{variant}", shuffle)
    told = line(made.reflections(variant, source), made.pairs(variant))
    assert told.startswith(f"{source}: record ")
    assert "order" in told


@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_new_texts_alone_in_another_order_are_refused_by_their_words(made: Import, line: Any, variant: str) -> None:
    """The texts that are checked are in order; no new text stands anywhere else."""

    def move(rows: released.Rows) -> None:
        fields = ("instruction", "output") if variant == "instruction" else ("output",)
        new = [{name: row[name] for name in fields} for row in rows]
        shuffle(new)
        for number, (row, texts) in enumerate(zip(rows, new, strict=True)):
            row.update({name: f"{text} {number}" for name, text in texts.items()})

    source = changed(made, f"texts/{variant}", move)
    told = line(made.reflections(variant, source, beside=variant != "instruction"), made.pairs(variant))
    assert told.startswith(f"{source}: record ")
    assert "expected reflections of these records, in their order" in told


@pytest.mark.parametrize("kind", ["texts", "scores"])
@pytest.mark.parametrize("left", [39, 5])
def test_a_truncated_file_is_refused(made: Import, line: Any, kind: str, left: int) -> None:
    source = changed(made, f"{kind}/original", lambda rows: rows[:left])
    if kind == "texts":
        made.release["texts/original"] = source
        told = line(made.reflections("response"), made.pairs("response"))
    else:
        told = line(made.import_scores("original", source), made.scores("original"))
    assert told == f"{source}: record {left}: is missing: expected 40 records, as {made.original} was made of"


def test_a_longer_file_is_refused(made: Import, line: Any) -> None:
    source = changed(made, "texts/response", lambda rows: rows + rows[:1])
    assert f"{source}: record 40: is one too many" in line(made.reflections("response", source), made.pairs("response"))


def test_reflections_of_other_data_are_refused(made: Import, line: Any, tmp_path: Path) -> None:
    other = released.release(
        tmp_path / "other", [{"instruction": f"Add {n} and 1.", "output": str(n)} for n in range(40)]
    )
    first = read_records(made.original, Pair)[0]
    told = line(made.reflections("response", other["texts/response"]), made.pairs("response"))
    expected = (
        f"record 0: instruction: expected that of record {first.id}, {short(first.instruction)}, found 'Add 0 and 1.'"
    )
    assert told == f"{other['texts/response']}: {expected}"
    made.release["texts/original"] = other["texts/original"]
    told = line(made.reflections("instruction", other["texts/instruction"]), made.pairs("instruction"))
    assert told == f"{other['texts/original']}: {expected}"


def test_some_misfits_can_be_allowed_and_are_never_used(made: Import, line: Any) -> None:
    def swap(rows: released.Rows) -> None:
        rows[0], rows[1] = rows[1], rows[0]

    source = changed(made, "texts/response", swap)
    assert "(and 1 more are allowed to differ)" in line(
        made.reflections("response", source, allowed=1), made.pairs("response")
    )
    assert made.reflections("response", source, allowed=2) == 0
    found = read_records(made.pairs("response"), ReflectedPair)
    assert [pair.outcome for pair in found[:3]] == ["mismatch", "mismatch", "clean"]
    assert found[0].output == read_records(made.original, Pair)[0].output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: [{"instruction": "x", "text": "y"}] * 40,
            "record 0: data.input: is missing, found ['instruction', 'text']",
        ),
        (
            lambda rows: [*rows[:3], {**rows[3], "output": None}, *rows[4:]],
            "record 3: output: expected text, found None",
        ),
    ],
)
def test_a_file_of_another_shape_is_refused(made: Import, line: Any, change: Any, message: str) -> None:
    source = changed(made, "texts/response", change)
    assert line(made.reflections("response", source), made.pairs("response")) == f"{source}: {message}"


# --- Scores -------------------------------------------------------------------------------------------------------


def test_scores_come_in_and_failures_are_null_with_the_reason(made: Import) -> None:
    made.all()
    rows = released.scores(released.versions(released.some_records())["both"])
    found = read_records(made.scores("both"), Score)
    for number, (row, score) in enumerate(zip(rows, found, strict=True)):
        if score.status == "scored":
            assert score.ifd == pytest.approx(row["ppl"][3] / row["ppl"][1])
            assert score.r_ifd == pytest.approx(row["ppl"][2] / row["ppl"][0])
            assert score.nll_instruction_given_response == row["loss"][2]
        else:
            assert number in (released.UNCHANGED, released.ZERO, released.NAN, released.ABSENT)
    zero, nan, absent = (found[number] for number in (released.ZERO, released.NAN, released.ABSENT))
    assert (zero.r_ifd, zero.reason) == (
        None,
        "nll_instruction_given_response: 0 in the file: the published scorer failed",
    )
    assert zero.ifd is not None
    assert (nan.ifd, nan.reason) == (
        None,
        "nll_response_given_instruction: not finite in the file: truncation left no target token",
    )
    assert (absent.ifd, absent.r_ifd, absent.reason) == (None, None, "the file has no scores of it")
    assert (
        found[released.UNCHANGED].reason
        == "reflection failed: its instruction reflection failed: the pair is the original one"
    )
    meta = read_json(made.folder / "both.scores.meta.json")
    assert meta["counts"] == {"scored": 36, "null": 4}
    assert meta["given"]["texts_compared"] > 30


def test_json_lines_of_the_published_scorer_are_read(made: Import, tmp_path: Path) -> None:
    rows = [
        row if row["ppl"] else {} for row in released.scores(released.versions(released.some_records())["original"])
    ]
    source = released.write(tmp_path / "analysis.jsonl", rows)
    words = ["--loss", "loss", "--ppl", "ppl", "--teacher", "null", "--allowed-mismatches", "0"]
    assert cli.main(["import", "scores", str(source), str(made.original), str(tmp_path / "out.jsonl"), *words]) == 0
    found = read_records(tmp_path / "out.jsonl", Score)
    assert sum(score.status == "scored" for score in found) == 37


@pytest.mark.parametrize(("variant", "beside"), [("response", "original"), ("both", "instruction")])
def test_shuffled_scores_are_refused_by_the_texts_that_versions_share(
    made: Import, capsys: Any, variant: str, beside: str
) -> None:
    made.all()
    made.scores(variant).unlink()
    capsys.readouterr()
    source = changed(made, f"scores/{variant}", shuffle)
    assert made.import_scores(variant, source, beside=beside) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"srt: {source}: record 0: loss: expected ")
    assert f"as for the same text elsewhere ({beside}, " in err
    assert err.count("\n") == 1
    assert not made.scores(variant).exists()


def test_shuffled_scores_are_refused_by_a_text_that_occurs_twice(tmp_path: Path, line: Any) -> None:
    records = released.some_records()
    records[30]["output"] = records[20]["output"]
    made = Import(tmp_path, records)
    source = changed(made, "scores/original", shuffle)
    told = line(made.import_scores("original", source), made.scores("original"))
    assert told.startswith(f"{source}: record 30: loss: expected ")
    assert "for the response of record " in told


def test_scores_whose_order_nothing_tells_say_so(made: Import, capsys: Any) -> None:
    assert made.import_scores("original") == 0
    assert (
        "no text occurs twice: that the file has the data set's order could not be checked" in capsys.readouterr().err
    )


def test_scores_of_other_data_are_refused(made: Import, tmp_path: Path, capsys: Any) -> None:
    made.all()
    made.scores("response").unlink()
    other = released.release(
        tmp_path / "other", [{"instruction": f"Add {n} and 1.", "output": str(n)} for n in range(40)]
    )
    capsys.readouterr()
    assert made.import_scores("response", other["scores/response"], beside="original") == 2
    assert "are the files in the same order, and of this data set?" in capsys.readouterr().err
    assert not made.scores("response").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"ppl": [1.0] * 4, "loss": [1.0] * 4}, "record 0: ppl: expected exp(loss) = 2.71828, found 1.0"),
        ({"ppl": [3.0] * 3, "loss": [1.0] * 3}, "record 0: loss: expected four numbers from 0, found [1.0, 1.0, 1.0]"),
        ({"ppl": [3.0] * 4, "loss": [-1.0] * 4}, "record 0: loss: expected four numbers from 0"),
        ({"ppl": None, "loss": [1.0] * 4}, "record 0: ppl: expected four numbers from 0, found None"),
    ],
)
def test_what_is_no_score_is_refused(made: Import, line: Any, row: dict, message: str) -> None:
    source = changed(made, "scores/original", lambda rows: [row, *rows[1:]])
    assert line(made.import_scores("original", source), made.scores("original")).startswith(f"{source}: {message}")


def test_perplexities_and_losses_in_each_others_column_are_refused(made: Import, line: Any) -> None:
    source = changed(made, "scores/original", lambda rows: [{"ppl": row["loss"], "loss": row["ppl"]} for row in rows])
    assert "record 0: ppl: expected exp(loss)" in line(made.import_scores("original", source), made.scores("original"))


# --- A train file -------------------------------------------------------------------------------------------------


def test_a_train_file_gets_the_ids_and_the_order_of_the_data(made: Import) -> None:
    made.all()
    source = changed(made, "selected", shuffle)
    assert made.train(source) == 0
    train = read_records(made.folder / "run/train.jsonl", Pair)
    ids = [pair.id for pair in read_records(made.original, Pair)]
    assert [pair.id for pair in train] == [record for record in ids if record in {pair.id for pair in train}]
    expected = released.published_selection(released.versions(released.some_records()))
    assert [pair.output for pair in train] == [row["output"] for row in expected]
    ledger = {entry.id: entry for entry in read_records(made.folder / "run/ledger.jsonl", LedgerEntry)}
    assert list(ledger) == ids
    assert {entry.chosen for entry in ledger.values() if entry.kept} == {"response", "both"}
    assert {entry.reason for entry in ledger.values() if not entry.kept} == {"not in the given train file"}


def test_a_train_file_alone_gets_ids_of_its_own(made: Import) -> None:
    assert made.train(made.release["selected"], matched=False) == 0
    train = read_records(made.folder / "run/train.jsonl", Pair)
    assert len(train) == len(read_records(made.folder / "run/ledger.jsonl", LedgerEntry)) > 5


def test_a_foreign_truncated_or_doubled_train_file_is_refused(made: Import, capsys: Any) -> None:
    made.all()
    n = len(released.published_selection(released.versions(released.some_records())))
    cases = [
        (
            lambda rows: [*rows, {"instruction": "Hi.", "input": "", "output": "x"}],
            "null",
            f"record {n}: is in no version of the data: 'Hi.'",
        ),
        (lambda rows: rows[:-1], str(n), f"record {n - 1}: is missing: expected {n} records"),
        (lambda rows: rows + rows[:1], str(n), f"record {n}: is one too many: expected {n} records"),
        (lambda rows: rows + rows[:1], "null", f"record {n}: occurs more often than in the data"),
        (lambda rows: [{**rows[0], "output": ""}], "null", "record 0: output: is empty"),
    ]
    for change, records, message in cases:
        source = changed(made, "selected", change)
        capsys.readouterr()
        assert made.train(source, records=records) == 2
        assert f"{source}: {message}" in capsys.readouterr().err
        assert not (made.folder / "run").exists()


# --- What a config may name ---------------------------------------------------------------------------------------

FILES = {variant: f"{variant}.parquet" for variant in VARIANTS}
REFLECTIONS = {**released.TEXTS, "allowed_mismatches": 0, "files": FILES}
SCORES = {**released.COLUMNS, "teacher": "authors", "allowed_mismatches": 0, "files": FILES}
TRAIN = {**released.TEXTS, "source": "t.json", "records": None}
HEADER = "run\tdataset\tteacher\tstudent\tmethod\tratio\trecipe\tseed\n"
ROWS = ("base\t-\t-\tsmollm2\tnone\t-\t-\t-\n", "r\tdemo\tauthors\tsmollm2\treleased\t1\t-\t0\n")


@pytest.fixture
def values(tmp_path: Path) -> dict[str, Any]:
    """The shipped config with reflections and scores that are given."""
    values = copy.deepcopy(read_yaml(default_config()))
    values |= {"run_table": str(tmp_path / "runs.tsv"), "report": {"notice": None, "compare": {}}}
    values["evaluate"]["pairwise"]["opponents"] = ["base"]
    values["given"] = {"reflections": {"authors": {"demo": copy.deepcopy(REFLECTIONS)}}, "train": {}, "judgments": {}}
    values["given"]["scores"] = {"smollm2": {"demo": copy.deepcopy(SCORES)}}
    (tmp_path / "runs.tsv").write_text(HEADER + "".join(ROWS))
    return values


def parsed(values: dict[str, Any], tmp_path: Path, *rows: str) -> Any:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    if rows:
        (tmp_path / "runs.tsv").write_text(HEADER + "".join(ROWS) + "".join(rows))
    return load(tmp_path / "c.yaml")


def test_a_config_of_what_is_given_is_accepted(values: dict[str, Any], tmp_path: Path) -> None:
    values["given"]["train"] = {"t": TRAIN}
    values["given"]["judgments"] = {"base": {"alpaca_eval": {"source": "a.json", "outputs": None}}}
    _, runs = parsed(values, tmp_path, "t\t-\t-\tsmollm2\tgiven\t-\tdemo\t0\n")
    assert [(run.run, run.is_evaluated) for run in runs] == [("base", True), ("r", False), ("t", True)]


def refusals() -> list[Any]:
    def of(*keys: str, **change: Any) -> Any:
        def apply(values: dict[str, Any]) -> None:
            for key in keys:
                values = values[key]
            values.update(change)

        return apply

    def without_both(kind: str, name: str) -> Any:
        return lambda values: values["given"][kind][name]["demo"]["files"].pop("both")

    judged = {"source": "x", "outputs": None}
    return [
        (of(responses="selected"), (), "given: responses 'selected' asks a teacher"),
        (
            lambda v: v["teachers"].update(authors=v["teachers"]["smollm2"]),
            (),
            "given.reflections.authors: is a name under",
        ),
        (
            of("given", "reflections", "authors", other=REFLECTIONS),
            (),
            "given.reflections.authors: expected one of ['demo'], found 'other'",
        ),
        (of("given", "scores", nobody={}), (), "given.scores: expected one of ['smollm2'], found 'nobody'"),
        (
            of("given", "scores", "smollm2", "demo", teacher="x"),
            (),
            "given.scores.smollm2.demo.teacher: expected one of",
        ),
        (of("given", "scores", "smollm2", "demo", teacher=None), (), "smollm2: demo: teacher: expected a name"),
        (
            without_both("reflections", "authors"),
            (),
            "given.reflections.authors.demo.files: both: is missing, which run 'r' reads",
        ),
        (
            without_both("scores", "smollm2"),
            (),
            "given.scores.smollm2.demo.files: both: is missing, which run 'r' reads",
        ),
        (
            of(),
            ("o\tdemo\tsmollm2\tsmollm2\tpaper\t1\t-\t0\n",),
            "given.scores.smollm2.demo.teacher: expected 'smollm2', which run 'o' reads",
        ),
        (of(), ("t\t-\t-\tsmollm2\tgiven\t-\t-\t-\n",), "given.train: run 't' needs an entry there"),
        (of("given", train={"r": TRAIN}), (), "given.train: run 'r' has the method released, expected 'given'"),
        (of("given", train={"nobody": TRAIN}), (), "given.train: expected one of ['base', 'r'], found 'nobody'"),
        (of(), ("t\tdemo\t-\tsmollm2\tgiven\t-\t-\t-\n",), "method given needs a value in the column teacher"),
        (
            of(),
            ("t\t-\t-\tsmollm2\tgiven\t0.5\t-\t-\n",),
            "method given selects nothing: expected '-' in the column ratio",
        ),
        (of(), ("t\t-\t-\tsmollm2\tgiven\t-\tdemo\t-\n",), "method given needs a value in the column seed"),
        (of("given", judgments={"nobody": {}}), (), "given.judgments: expected one of ['base', 'r'], found 'nobody'"),
        (
            of("given", judgments={"r": {"alpaca_eval": judged}}),
            (),
            "given.judgments.r: expected one of [], found 'alpaca_eval'",
        ),
        (
            of("given", judgments={"base": {"mt_bench": judged}}),
            (),
            "given.judgments.base.mt_bench: only alpaca_eval and pairwise",
        ),
        (of("evaluate", "pairwise", opponents=["r"]), (), "evaluate.pairwise.opponents: expected a run of"),
    ]


@pytest.mark.parametrize(("change", "rows", "message"), refusals())
def test_what_does_not_fit_is_refused_by_its_key(
    values: dict[str, Any], tmp_path: Path, change: Any, rows: Any, message: str
) -> None:
    change(values)
    with pytest.raises(InputError) as error:
        parsed(values, tmp_path, *rows)
    assert message in str(error.value)


def test_flags_that_are_left_out_come_from_the_config_file(made: Import, tmp_path: Path) -> None:
    values = read_yaml(default_config())
    values["given"]["train"] = {"mine": {**TRAIN, "records": 1}}
    values["run_table"] = str(tmp_path / "runs.tsv")
    values["evaluate"]["pairwise"]["opponents"] = ["base"]
    values["report"]["compare"] = {}
    (tmp_path / "runs.tsv").write_text(HEADER + ROWS[0] + "mine\t-\t-\tsmollm2\tgiven\t-\t-\t-\n")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    source = released.write(tmp_path / "one.parquet", [{"instruction": "Hi.", "input": "", "output": "x"}])
    words = [
        "import",
        "train",
        str(source),
        str(tmp_path / "run"),
        "--use-run",
        "mine",
        "--config",
        str(tmp_path / "c.yaml"),
    ]
    assert cli.main(words) == 0
    assert json.loads((tmp_path / "run/train.jsonl").read_text())["instruction"] == "Hi."
