"""What the report is made from: by a whole config, by one of its own keys, and what each part depends on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers import ROOT
from helpers.results import RUNS, inputs_at, small_config
from srt import cli
from srt.experiment.config import load_results
from srt.report.inputs import READ_BY, ReportInputs, read_inputs, settings_of
from srt.report.page.cards import write_cards
from srt.report.page.html import write_html
from srt.report.tables.write import write_tables
from srt.settings import ResultsConfig
from srt.storage.errors import InputError

ALWAYS = {"results", "runs", "file", "config"}  # files that a rule has as inputs, and what is only shown


class Watched(ReportInputs):
    """Inputs that note which of them are read."""

    def __getattribute__(self, name: str) -> Any:
        if name in NAMES:
            READ.add(name)
        return super().__getattribute__(name)


NAMES = {each.name for each in fields(ReportInputs)}
READ: set[str] = set()


def drawn(inputs: ReportInputs, out: Path) -> None:
    from srt.report.figures.draw import FIGURES

    for make, _ in FIGURES.values():
        make(inputs, out / "tables")


PARTS: dict[str, Callable[[ReportInputs, Path], None]] = {
    "tables": write_tables,
    "figures": drawn,
    "html": write_html,
    "cards": write_cards,
}


def copied(whole: Any, **more: Any) -> Any:
    """A copy, as `replace` makes it: that reads every field of the inputs and says nothing of what is read."""
    before = {*READ}
    copy = replace(whole, **more)
    READ.clear()
    READ.update(before)
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_report_reads_no_more_than_its_rule_knows(
    part: str, results: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srt.report.tables.write.replace", copied)
    inputs = inputs_at(results, licences={"toy": "MIT"}, notice="Mind this.")
    watched = Watched(**{name: getattr(inputs, name) for name in NAMES})
    READ.clear()
    PARTS[part](watched, results)
    assert READ.difference(ALWAYS) == set(READ_BY[part])


def test_a_part_s_settings_change_with_what_it_depends_on_alone() -> None:
    inputs = inputs_at(Path("results"), licences={"toy": "MIT", "other": "Apache-2.0"})
    changes: dict[str, Any] = {
        "responses": "selected",
        "opponents": [],
        "questions": [],
        "compare": {},
        "licences": {"toy": "BSD"},
        "notice": "Mind {this}.",
        "file": Path("elsewhere.yaml"),
    }
    for part, known in READ_BY.items():
        for name, value in changes.items():
            is_other = settings_of(replace(inputs, **{name: value}), part) != settings_of(inputs, part)
            assert is_other == (name in known), (part, name)
    of_card = settings_of(inputs, "cards", "recycled")
    assert json.loads(of_card)["licences"] == {"toy": "MIT"}
    assert settings_of(replace(inputs, licences={"toy": "MIT"}), "cards", "recycled") == of_card


def test_a_whole_config_says_all() -> None:
    found = read_inputs(ROOT / "config/config.yaml")
    assert (found.results, found.responses, found.opponents) == (Path("results"), "all", ["original"])
    assert found.config is not None
    assert (found.notice or "").startswith("This is the demo")
    assert [run.run for run in found.runs] == ["base", "original", "recycled"]
    assert read_inputs(None, Path("elsewhere")).results == Path("elsewhere")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A config of the report's own keys, for results that were made elsewhere."""
    inputs = inputs_at(tmp_path / "theirs", licences={"toy": "MIT"}, notice="Made elsewhere.")
    (tmp_path / "small.yaml").write_text(small_config(tmp_path, inputs))
    return tmp_path / "small.yaml"


def test_results_made_elsewhere_need_a_small_config(small: Path) -> None:
    found = read_inputs(small)
    expected = inputs_at(small.parent / "theirs", licences={"toy": "MIT"}, notice="Made elsewhere.", file=small)
    assert found == expected
    assert isinstance(load_results(small)[0], ResultsConfig)


@pytest.mark.slow
def test_the_report_of_a_small_config_is_written(
    small: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = small.parent / "out"
    assert cli.main(["report", "tables", str(results), "--config", str(small), "--out", str(out)]) == 0
    assert cli.main(["report", "html", str(results), "--config", str(small), "--out", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert "Made elsewhere." in page
    assert "run_table: " in page
    assert "pairwise_wizardlm_as_is" in (out / "tables/pairwise.csv").read_text()


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda values: values.pop("responses"), ["responses: is missing"]),
        (
            lambda values: values.update(colour="red", responses="some"),
            ["colour: is not a known key", "responses: "],
        ),
        (
            lambda values: values["report"].update(compare={"nobody": "x"}, licences={"tyo": "MIT"}),
            [
                "report.licences: expected one of ['toy'], found 'tyo', did you mean 'toy'?",
                "report.compare: expected a run",
            ],
        ),
        (lambda values: values["evaluate"]["pairwise"].update(opponents=["nobody"]), ["evaluate.pairwise.opponents: "]),
        (lambda values: values.update(run_table="none.tsv"), ["run_table: none.tsv: no such file"]),
        (lambda values: values.update(students={}), ["cache: is missing"]),  # a whole config, and not whole
    ],
)
def test_each_fault_of_a_small_config_is_a_line(
    small: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], Any], lines: list[str]
) -> None:
    values = yaml.safe_load(small.read_text())
    change(values)
    small.write_text(yaml.safe_dump(values))
    assert cli.main(["report", "tables", "--config", str(small)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert all(line.startswith("srt: ") for line in told)
    assert all(any(f"small.yaml: {part}" in line for line in told) for part in lines), told
    assert len(told) == len(lines) or "cache: is missing" in lines
    assert not (small.parent / "theirs").exists()


def test_an_unknown_row_of_the_paper_is_refused_by_every_part_that_compares(small: Path) -> None:
    values = yaml.safe_load(small.read_text())
    values["report"]["compare"] = {RUNS[1].run: "GPT-9"}
    small.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match="GPT-9"):
        write_tables(read_inputs(small), small.parent)


@pytest.mark.parametrize("part", ["tables", "figures", "html", "cards"])
def test_results_that_are_named_and_not_there_are_a_line(
    small: Path, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped folder is no experiment that has not begun."""
    (tmp_path / "file").touch()
    for name in ("nowhere", "file"):
        assert cli.main(["report", part, str(tmp_path / name), "--config", str(small)]) == 2
        assert capsys.readouterr().err == f"srt: RESULTS: {tmp_path / name}: no such folder\n"
    assert not (tmp_path / "nowhere").exists()
