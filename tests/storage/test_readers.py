"""Files as strangers have them, through the readers: what is meant is read, anything else is one line."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from srt import cli
from srt.evaluation._items import read_items
from srt.evaluation.questions import read_questions
from srt.evaluation.replay import read_annotations
from srt.evaluation.win_rate import _check_difficulty
from srt.experiment.config import default_config
from srt.experiment.table import read_runs
from srt.imports._rows import aligned
from srt.llm.prompts import guess_prompt, student_template
from srt.prepare.sources import read_pairs, read_rows
from srt.report.formats import Column, Part, read_csv
from srt.scoring.score import _is_nll
from srt.storage.files import read_records
from srt.storage.journal import Journal, entries_of, rounds_of
from srt.storage.readers import InputError, csv_records, read_json, read_lines, read_text
from srt.storage.records import Pair
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

PAIR = {"instruction": "Say hi.", "input": "", "output": "Hi."}
DIGITS = "9" * 5000
DEEP = "[" * 100_000
DEEP_AND_CLOSED = "[" * 500 + "]" * 500
HEADER = ["run", "dataset", "teacher", "student", "method", "ratio", "recipe", "seed"]
ROW = ["base", "-", "-", "smollm2", "none", "-", "-", "-"]


def rows_of(path: Path) -> list:
    return [row for _, row in read_rows(path)]


# Every reader of a file that comes from outside, and the name that its file has.
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "json": ("f.json", read_json),
    "jsonl": ("f.jsonl", lambda path: list(read_lines(path))),
    "records": ("f.jsonl", lambda path: read_records(path, Pair)),
    "yaml": ("f.yaml", read_yaml),
    "runs": ("f.tsv", read_runs),
    "list of pairs": ("f.json", rows_of),
    "lines of pairs": ("f.jsonl", rows_of),
    "parquet": ("f.parquet", rows_of),
    "pairs": ("f.jsonl", read_pairs),
    "questions": ("f.jsonl", lambda path: read_questions(str(path))),
    "annotations": ("f.json", read_annotations),
    "mmlu": ("f.csv", lambda path: read_items(path, "mmlu")),
    "arc": ("f.jsonl", lambda path: read_items(path, "arc")),
    "guess prompt": ("f.txt", lambda path: guess_prompt(str(path))),
    "template": ("f.yaml", lambda path: student_template(str(path))),
    "difficulty": ("f.csv", lambda path: _check_difficulty(path, [])),
    "table": ("f.csv", lambda path: read_csv(path, Part("p", "", [Column("a", "A")], [], "none"))),
}
TEXTS = [name for name in READERS if name != "parquet"]


def complaint(name: str, path: Path) -> str:
    """The one line of a reader about a file."""
    with pytest.raises(InputError) as raised:
        READERS[name][1](path)
    told = str(raised.value)
    assert str(path) in told
    assert len(told.splitlines()) == 1
    return told


def in_file(name: str, folder: Path, content: bytes | str) -> Path:
    path = folder / READERS[name][0]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / READERS[name][0]
    assert "no such" in complaint(name, path)
    path.mkdir()
    assert "is a folder" in complaint(name, path)
    path.rmdir()
    path.symlink_to(tmp_path / "gone")
    assert "no such" in complaint(name, path)
    path.unlink()
    os.mkfifo(path)
    assert "is a pipe, which can be read only once" in complaint(name, path)  # and nobody waits for it
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "is a device" in complaint(name, path)
    path.unlink()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"Not a directory|no such"):
        READERS[name][1](tmp_path / "file" / path.name)


@pytest.mark.parametrize("name", READERS)
def test_an_empty_file_is_told(name: str, tmp_path: Path) -> None:
    if name in ("jsonl", "records", "lines of pairs", "json lines"):
        assert READERS[name][1](in_file(name, tmp_path, "")) == []  # whoever needs some says so
    else:
        complaint(name, in_file(name, tmp_path, ""))


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_utf_8_is_told(name: str, tmp_path: Path) -> None:
    for content, told in (
        ("caf\u00e9 \u00fc".encode("latin-1"), "is not UTF-8 text (byte 3)"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16"),
        (gzip.compress(b"{}"), "is gzip: unpack it, or let its name end in .gz"),
        (b"PK\x03\x04\x14\0", "is a zip archive"),
        (b"PAR1\x15\x04", "is Parquet"),
        (b"(\xb5/\xfd\0", "packed by zstd"),
    ):
        assert told in complaint(name, in_file(name, tmp_path, content))


@pytest.mark.parametrize("name", ["json", "jsonl", "records", "list of pairs", "lines of pairs", "annotations", "arc"])
@pytest.mark.parametrize("content", [DEEP, DEEP_AND_CLOSED, '{"a":' * 2000, DIGITS, f'{{"id": {DIGITS}}}', "\0", "{"])
def test_json_that_is_too_much_is_told(name: str, tmp_path: Path, content: str) -> None:
    assert "is not JSON" in complaint(name, in_file(name, tmp_path, content))


LAUGHS = "a0: &a0 [1]\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(9))
MERGES = "a0: &a0 {k: v}\n" + "".join(f"a{i + 1}: &a{i + 1} {{<<: [{', '.join([f'*a{i}'] * 10)}]}}\n" for i in range(9))
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(300))
YAML = {
    "laughs": (LAUGHS, "more than 100,000 values"),
    "merges": (MERGES, "more than 100,000 values"),
    "chain": (CHAIN, "nested too deeply"),
    "itself": ("a: &a [*a]", "an alias stands inside what it names"),
    "deep": ("[" * 100_000, "line 1: is not YAML: nested too deeply"),
    "deep maps": ("".join("  " * i + "a:\n" for i in range(200)), "nested too deeply"),
    "digits": (f"a: {DIGITS}", "line 1: is not YAML: an integer has too many digits"),
    "hex": (f"a: 0x{'f' * 5000}", "an integer has too many digits"),
    "base 60": ("a: " + ":".join(["1"] * 3000), "an integer has too many digits"),
    "control": ("a: 1\nb: \x07\n", "line 2: is not YAML: control character U+0007"),
    "nul": ("a: \0", "control character U+0000"),
    "python": ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    "name": ("a: !!python/name:os.system", "could not determine a constructor"),
    "tag": ("a: !mine 1", "could not determine a constructor"),
    "no int": ("a: !!int x", "is no int"),
    "no bool": ("a: !!bool x", "is no bool"),
    "no date": ("a: !!timestamp x", "is no timestamp"),
    "bad date": ("a: !!timestamp 2001-99-99", "is no timestamp"),
    "list key": ("? [a]\n: 1", "expected a text as key"),
    "map key": ("{{}: 1}", "expected a text as key"),
    "two": ("a: 1\n---\nb: 2\n", "expected a single document"),
    "comment": ("# nothing\n", "is empty, expected YAML"),
    "tab": ("a:\n\tb: 1\n", "line 2: is not YAML"),
    "alias": ("a: *b", "found undefined alias"),
    "twice": ("a: 1\na: 2", "key 'a' occurs twice"),
    "large": ("- a\n" * 1_500_000, "expected YAML of at most 4,000,000 characters"),
}


@pytest.mark.parametrize("name", YAML)
def test_yaml_that_is_odd_is_told(name: str, tmp_path: Path) -> None:
    content, told = YAML[name]
    assert told in complaint("yaml", in_file("yaml", tmp_path, content))


def test_yaml_is_read_as_it_is_meant(tmp_path: Path) -> None:
    lines = ["a: &a {x: 2e-5, y: 1e3, z: .5E2}", "b: {<<: *a, x: '2e-5'}", "c: 2001-01-01", "d: [1.5, 7, 0x10, yes]"]
    text = "\ufeff" + "\r\n".join(lines)
    read = read_yaml(in_file("yaml", tmp_path, text))
    assert read["a"] == {"x": 2e-5, "y": 1000.0, "z": 50.0}
    assert read["b"] == {"x": "2e-5", "y": 1000.0, "z": 50.0}
    assert (read["c"], read["d"]) == ("2001-01-01", [1.5, 7, 16, True])


COLUMNS = "\t".join(HEADER) + "\n"
NAMES, CELLS = (
    "line 1: expected the names of columns with a tab between them",
    "expected 8 cells with a tab between them",
)
TABLES = {
    "commas": (",".join(HEADER) + "\n" + ",".join(ROW), f"{NAMES}, found one with commas"),
    "semicolons": (";".join(HEADER) + "\n" + ";".join(ROW), f"{NAMES}, found one with semicolons"),
    "spaces": ("    ".join(HEADER) + "\n" + "    ".join(ROW), f"{NAMES}, found one with spaces"),
    "one": ("run\n", f"{NAMES}, found one with no tab"),
    "a row with spaces": (COLUMNS + "# why\n" + " ".join(ROW), f"line 3: {CELLS}, found one with spaces"),
    "a cell too few": (COLUMNS + "\t".join(ROW[:-1]), f"line 2: {CELLS}, found 7"),
    "a cell too many": (COLUMNS + "\n" + "\t".join([*ROW, "x"]), f"line 3: {CELLS}, found 9"),
    "a column twice": ("\t".join([*HEADER, "run"]) + "\n", f"{NAMES}, found column 'run' twice"),
    "an open quote": (COLUMNS + '"' + "\t".join(ROW), "line 2: expected cells with a tab between them, each quote"),
    "digits": (COLUMNS + "\t".join([*ROW[:-1], DIGITS]), "run 'base': "),
    "nul": (COLUMNS + "\t".join([*ROW[:-1], "\0"]), "run 'base': "),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_run_table_that_is_odd_is_told(tmp_path: Path, name: str) -> None:
    content, told = TABLES[name]
    assert told in complaint("runs", in_file("runs", tmp_path, content))


def test_a_run_table_is_read_as_it_is_meant(tmp_path: Path) -> None:
    lines = [
        "\ufeff# why",
        "\t".join(HEADER) + "\t",
        "",
        "  ",
        " base \t" + "\t".join(ROW[1:]) + " \t\t",
        '"next"\t' + "\t".join(ROW[1:]),
    ]
    for end in ("\n", "\r\n", "\r"):
        assert [run.run for run in read_runs(in_file("runs", tmp_path, end.join(lines)))] == ["base", "next"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    whole = "\ufeff" + json.dumps([PAIR])
    assert rows_of(in_file("list of pairs", tmp_path, whole)) == [PAIR]
    assert rows_of(in_file("lines of pairs", tmp_path, whole)) == [PAIR]
    assert (
        guess_prompt(str(in_file("guess prompt", tmp_path, "\ufeffGuess: {response}\r\n"))) == "Guess: {response}\r\n"
    )


@pytest.mark.parametrize("name", ["f.json", "f.jsonl", "f.json.gz", "f.jsonl.gz", "F.JSON"])
@pytest.mark.parametrize("form", ["list", "pretty list", "lines", "one"])
def test_pairs_are_read_in_every_form_whatever_the_name(tmp_path: Path, name: str, form: str) -> None:
    texts = {
        "list": json.dumps([PAIR, PAIR]),
        "pretty list": json.dumps([PAIR, PAIR], indent=1),
        "lines": json.dumps(PAIR) + "\r\n\r\n" + json.dumps(PAIR),
        "one": json.dumps(PAIR),
    }
    data = texts[form].encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert [pair.output for pair in read_pairs(tmp_path / name)] == ["Hi."] * (1 if form == "one" else 2)


def test_one_question_in_a_json_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text('{"question_id": 81, "turns": ["Why?"]}')
    assert [question.id for question in read_questions(str(tmp_path / "q.json"))] == ["81"]


def test_gzip_that_is_none_damaged_or_a_bomb_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl.gz"
    for content, told in (
        (b"{}", "is not gzip, as its name says"),
        (gzip.compress(b"x" * 1000)[:-9], "is not gzip, as its name says, or is damaged"),
        (gzip.compress(bytes(1000))[:-8] + b"\0" * 8, "damaged"),
        (gzip.compress(bytes(70_000_000), 1), "expected at most"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=told):
            rows_of(path)


def test_parquet_is_read_and_what_is_none_is_told(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "f.parquet"
    parquet.write_table(pyarrow.table({"instruction": ["a"], "output": ["b"]}), path)
    assert rows_of(path) == [{"instruction": "a", "output": "b"}]
    whole = path.read_bytes()
    for content in (b'{"instruction": "i"}', whole[:-20], whole[:40] + b"\xff" * 40 + whole[80:], b"PAR1PAR1"):
        assert "is not Parquet" in complaint("parquet", in_file("parquet", tmp_path, content))
    parquet.write_table(pyarrow.table([["a"], ["b"]], names=["output", "output"]), path)
    assert "column 'output' occurs twice" in complaint("parquet", path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,b\n1\n", "row 2: expected 2 cells, found 1"),
        ("a,a\n1,2\n", "expected columns of different names"),
        ('a,b\n"x,1\n', "row 2: is not CSV"),
    ],
)
def test_a_table_that_is_odd_is_told(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        csv_records(in_file("table", tmp_path, content))


def test_ids_may_be_numbers_and_texts_null(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"id": 1, "instruction": "i", "input": null, "output": null}\n')
    assert read_pairs(path) == [Pair(id="1", instruction="i", output="")]
    path.write_text('{"id": 7, "instruction": "i", "output": "o"}\n')
    assert read_records(path, Pair)[0].id == "7"
    path.write_text('{"instruction": "i", "input": NaN, "output": "o"}\n')  # as pandas writes a null
    assert read_pairs(path)[0].input == ""


ODD_LINES = ["[1]", "5", "null", '"x"', "{}", '{"key": "k"}', '{"value": 1}', '{"key": 5, "value": 1}', DEEP, DIGITS]
ODD_LINES += [f'{{"key": "k", "value": {DIGITS}}}', f'{{"key": "k", "value": {DEEP_AND_CLOSED}}}', "\0\0", "{"]


def test_odd_lines_of_a_journal_are_skipped_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "j.jsonl"
    good = '{"key": "good", "value": {"text": "t"}}'
    path.write_bytes("\n".join([*ODD_LINES, good, ""]).encode() + b"\xff\n")
    (tmp_path / "folder.jsonl").mkdir()
    for _ in range(2):
        journal = Journal(path)
        assert list(journal.entries) == ["good"]
        journal.close()
    assert f"{len(ODD_LINES) + 1} damaged lines are skipped" in capsys.readouterr().err
    assert list(entries_of(tmp_path)) == ["good"]


def test_a_journal_of_nlls_holds_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = ["1.5", "2", "null", "NaN", "Infinity", "true", '"1"', "[1]", "{}"]
    lines = [f'{{"key": "{place}", "value": {value}}}\n' for place, value in enumerate(values)]
    (tmp_path / "j.jsonl").write_text("".join(lines))
    journal = Journal(tmp_path / "j.jsonl", holds=_is_nll)
    assert journal.entries == {"0": 1.5, "1": 2, "2": None}
    journal.close()
    assert "6 damaged lines are skipped" in capsys.readouterr().err


def test_the_rounds_of_a_job_are_read_from_any_note() -> None:
    assert rounds_of({"rounds": 3}) == 3
    for odd in (None, 5, [], {}, {"rounds": "x"}, {"rounds": -1}, {"rounds": [1]}, {"rounds": 1.5}):
        assert rounds_of(odd) == 0
    assert rounds_of({"rounds": 10**300}) == 1000


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (f"score P O --model M --max-length {DIGITS}", "--max-length"),
        (f"score P O --model M --shard {DIGITS}/{DIGITS}", "--shard: expected I/N"),
        ("score P O --model M --shard \u0663/\u0664", "--shard: expected I/N"),
        ("selection O --method ifd --ratio 1e999 --pairs original=P", "--ratio"),
        ("prepare 12_huge_integer.json O", "an integer has too many digits"),
        ("evaluate alpaca-eval --annotations 12c_latin1.annotations.json O", "is not UTF-8 text (byte"),
    ],
)
def test_the_command_line_ends_with_code_2(
    command: str, told: str, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.jsonl").write_text("")
    here = {path.name: str(path) for path in (shared_data / "faults").iterdir()}
    here |= {"O": str(tmp_path / "o.json"), "P": str(tmp_path / "p.jsonl"), "M": "owner/model"}
    here["original=P"] = f"original={here['P']}"
    assert cli.main([here.get(word, word) for word in command.split()]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert told in said
    assert len(said) < 500


FAULTS = {
    "12_huge_integer.json": "an integer has too many digits",
    "13_bom.json": 1,
    "14_multi_turn.json": 1,
    "15_conv_system_turn.json": 1,
    "15b_messages.jsonl": 1,
    "16_one_record.json": 1,
    "19_id_int.json": 1,
    "10a_alpaca[1].json": 1,
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_collected_faults_are_read_or_told(shared_data: Path, name: str) -> None:
    path, right = shared_data / "faults" / name, FAULTS[name]
    if isinstance(right, int):
        assert len(read_pairs(path)) == right
    else:
        with pytest.raises(InputError, match=right):
            read_pairs(path)


def test_nulls_are_counted_as_empty(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = shared_data / "faults/15c_null_output.json"
    assert cli.main(["prepare", str(source), str(tmp_path / "p.jsonl")]) == 0
    counts = read_json(tmp_path / "p.meta.json")["counts"]
    assert counts["empty"] == counts["read"] - counts["written"] == 1
    assert "1 empty" in capsys.readouterr().err


def test_a_bom_in_a_run_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "runs.tsv").write_bytes(b"\xef\xbb\xbf" + locate("config/demo.tsv").read_bytes())
    assert read_runs(tmp_path / "runs.tsv")


@pytest.mark.slow
def test_a_config_that_is_odd_ends_a_step_with_one_line_and_code_2(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(read_text(default_config()) + LAUGHS)
    command = [sys.executable, "-m", "srt.cli", "plan", "--config", str(tmp_path / "c.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "more than 100,000 values, aliases unfolded" in done.stderr


SIDECARS = {
    "[1]": "valid dictionary",
    '{"counts": 5}': "counts: ",
    '{"counts": {"read": "7"}}': "counts.read: Input should be a valid integer, found '7'",
    '{"counts": {"read": 1}}': "counts.written: is missing",
    "{}": "counts.read: is missing",
    '{"counts": {"read": 1, "written": 1}, "left_out": {}}': "left_out: ",
}


@pytest.mark.parametrize("content", SIDECARS)
def test_a_sidecar_that_is_odd_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.meta.json").write_text(content)
    with pytest.raises(InputError, match=r"p\.meta\.json: " + ".*" + SIDECARS[content]):
        aligned("s.json", [], tmp_path / "p.jsonl", [Pair(id="a", **PAIR)])


def test_an_odd_ledger_is_one_line_of_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, row in (("data/d/original", {**PAIR, "id": "abc"}), ("runs/r/ledger", {"id": "abc", "kept": True})):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / f"{place}.jsonl").write_text(json.dumps(row))
    assert cli.main(["explain", "abc", "--results", str(tmp_path)]) == 2
    assert "ledger.jsonl: line 1: candidates: is missing" in capsys.readouterr().err
