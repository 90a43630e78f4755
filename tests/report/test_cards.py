"""Cards beside each run's outputs, and the files by which the repository can be cited and found."""

import hashlib
import re

import pytest
import yaml

import srt
from helpers.results import SCRIPT, inputs_at
from srt.experiment import config as settings_of
from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report.page.cards import NOT_STATED, write_cards
from srt.storage import sidecars
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_json, write_records
from srt.storage.records import LedgerEntry
from srt.storage.yaml_files import read_yaml

SHIPPED = ("config/config.yaml", "config/alpaca64.yaml", "config/paper.yaml", "config/released.yaml")
LICENCES = {"toy": "CC-BY-NC-4.0"}
TRAINING = {
    "base_model": "base/tiny",
    "base_identity": "0" * 64,
    "seed": 0,
    "data": {"sha256": "1" * 64, "records": 2, "trained_on": 2},
    "settings": {"learning_rate": 2e-05, "prompt": "vicuna_v1.1"},
    "steps": 3,
    "versions": {"torch": "2"},
    "loss_curve": [{"step": 1, "loss": 1.5}, {"step": 3, "loss": 1.25}],
}


def parsed(path):
    _, header, body = path.read_text().split("---\n", 2)
    return yaml.safe_load(header), body


@pytest.fixture
def carded(results):
    write_json(results / layout.TRAINING.format(run="recycled"), TRAINING)
    write_cards(inputs_at(results, licences=LICENCES, notice="Only a | test."), results)
    return results


@pytest.mark.slow
def test_a_run_has_the_cards_of_what_it_made(carded):
    found = sorted(path.relative_to(carded).as_posix() for path in carded.rglob("*_CARD.md"))
    assert found == ["runs/as_is/DATA_CARD.md", "runs/recycled/DATA_CARD.md", "runs/recycled/MODEL_CARD.md"]


@pytest.mark.slow
def test_the_data_card_says_licence_origin_hash_and_what_was_dropped(carded):
    header, body = parsed(carded / layout.DATA_CARD.format(run="recycled"))
    assert header["license"] == "cc-by-nc-4.0"
    assert "**CC-BY-NC-4.0**" in body
    assert "provider's terms" in body
    train = (carded / layout.TRAIN.format(run="recycled")).read_bytes()
    assert hashlib.sha256(train).hexdigest() in body
    assert r"**Demo.** Only a \| test." in body
    assert "| kept | b: reflected |  | 2 | 50.0 |" in body
    assert r"| dropped | kept_as_is | 50% \| a_b | 1 | 25.0 |" in body
    assert "| before | 4 |" in body
    assert "| after | 2 |" in body
    assert "Not used" not in body
    _, original = parsed(carded / layout.DATA_CARD.format(run="as_is"))
    assert "provider's terms" not in original
    assert "none; these are the original records" in original


@pytest.mark.slow
def test_the_model_card_says_recipe_and_every_metric_with_its_file(carded):
    header, body = parsed(carded / layout.MODEL_CARD.format(run="recycled"))
    assert (header["license"], header["base_model"]) == ("other", "base/tiny")
    assert "| optimizer steps | 3 |" in body
    assert "| loss, first and last step | 1.500, 1.250 |" in body
    rows = [line for line in body.splitlines() if "runs/recycled/evaluation/" in line]
    assert len(rows) == 4 + 5 + 4
    assert "| alpaca_eval | win_rate | 22.125 | 3.500 | 6 |" in body


@pytest.mark.slow
def test_nothing_that_a_model_wrote_is_markup_in_a_card(results):
    path = results / layout.LEDGER.format(run="recycled")
    entries = read_records(path, LedgerEntry)
    write_records(path, [entry.model_copy(update={"branch": f"{SCRIPT}\n# x"}) for entry in entries])
    write_cards(inputs_at(results), results, ["data"])
    text = (results / layout.DATA_CARD.format(run="recycled")).read_text()
    assert "<script" not in text
    assert "\n# x" not in text
    assert NOT_STATED in text
    assert "license: unknown" in text


def test_a_card_that_is_asked_for_needs_its_subject(results):
    with pytest.raises(InputError, match=r"srt_finetune.json: no such file, so that there is nothing"):
        write_cards(inputs_at(results), results, ["model"], ["recycled"])
    with pytest.raises(InputError, match=r"run: expected one of .*found 'nobody'"):
        write_cards(inputs_at(results), results, ["data"], ["nobody"])


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_data_set_has_a_licence_and_a_line_on_the_licences_page(root, name):
    config, _ = settings_of.load(root / name)
    assert config.report.licences.keys() == config.datasets.keys()
    page = (root / "docs/licences.md").read_text().replace("CC BY-NC 4.0", "CC-BY-NC-4.0")
    assert all(licence in page for licence in config.report.licences.values())


def test_a_licence_of_an_unknown_data_set_is_refused(root):
    values = read_yaml(root / "config/config.yaml")
    values["report"]["licences"]["elsewhere"] = "MIT"
    with pytest.raises(InputError, match=r"report.licences: expected one of \['demo'\], found 'elsewhere'"):
        settings_of.parse(values, "here.yaml")


def test_the_repository_can_be_cited_and_found(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == srt.__version__
    assert citation["license"] == "Apache-2.0"
    assert re.match(r"\s*Apache License\s+Version 2.0", (root / "LICENSE").read_text())
    paper = citation["preferred-citation"]
    assert paper["title"].startswith("Selective Reflection-Tuning: Student-Selected")
    assert paper["identifiers"][0]["value"] == "arXiv:2402.10110"
    assert all(author["family-names"] and author["given-names"] for author in paper["authors"])
    catalog = yaml.safe_load((root / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(catalog) == {"mandatory-flags", "software-stack-deployment", "report"}


@pytest.mark.slow
def test_somebodys_own_train_file_has_a_data_card_too(results):
    columns = {"dataset": "toy", "teacher": "sage", "student": "tiny", "ratio": None, "recipe": None, "seed": None}
    theirs = Run(run="as_is", method="given", **columns)
    write_cards(inputs_at(results, runs=[theirs], licences=LICENCES), results)
    assert not (results / layout.MODEL_CARD.format(run="as_is")).exists()
    text = (results / layout.DATA_CARD.format(run="as_is")).read_text()
    assert "Method: `given`" in text
    assert "None" not in text.replace("None:", "")


@pytest.mark.slow
def test_the_data_card_counts_what_of_the_source_was_not_used(results):
    counts = {"read": 5, "empty": 1, "duplicates": 0, "written": 4}
    meta = {"origin": {"file": "x.json"}, "counts": counts, "not_used": {"a system text": 2}}
    write_json(results / sidecars.meta_of(layout.ORIGINAL.format(dataset="toy")), meta)
    write_cards(inputs_at(results, licences=LICENCES), results, ["data"])
    _, body = parsed(results / layout.DATA_CARD.format(run="as_is"))
    assert "- Records: file x.json\n- Not used: a system text (2 of 5 records)\n- Method: " in body
