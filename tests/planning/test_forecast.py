"""What `srt plan` says of the trainings to come."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from helpers.training import tiny_tokenizer
from srt import cli
from srt.experiment.config import load
from srt.planning.forecast import forecast, told
from srt.storage.files import write_records
from srt.storage.records import Pair
from srt.storage.yaml_files import read_yaml

pytestmark = pytest.mark.slow


@pytest.fixture
def llama2_7b(tmp_path: Path) -> Path:
    """Llama 2 7B as far as a plan needs it: its config."""
    from transformers import LlamaConfig

    folder = tmp_path / "llama2-7b"
    LlamaConfig(vocab_size=32000).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def planned(tmp_path: Path, model: Path, recipe: str = "paper", **execution: object) -> Path:
    """A config of one run with one of the paper's recipes."""
    values, paper = (read_yaml(Path(f"config/{name}.yaml")) for name in ("config", "paper"))
    header = (tmp_path / "runs.tsv").open("w")
    print("run\tdataset\tteacher\tstudent\tmethod\tratio\trecipe\tseed", file=header)
    print(f"two\tdemo\t-\tsmollm2\toriginal\t0.5\t{recipe}\t0", file=header, flush=True)
    values |= {"results": str(tmp_path / "results"), "cache": str(tmp_path / "cache"), "recipes": paper["recipes"]}
    values |= {"run_table": str(tmp_path / "runs.tsv")}
    values["students"]["smollm2"]["model"] = str(model)
    values["report"]["compare"], values["evaluate"]["pairwise"] = {}, None
    values["execution"] |= {"card_gb": 80.0, "card_tflops": 300.0, **execution}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "config.yaml"


def test_the_papers_recipe_fits_on_eight_cards_and_is_refused_on_one(llama2_7b: Path, tmp_path: Path) -> None:
    (eight,) = forecast(*load(planned(tmp_path, llama2_7b, finetune_gpus=8)))
    assert (eight.fits, eight.devices, eight.records, eight.steps) == (True, 8, 12, 3)
    assert eight.gb is not None
    assert eight.gb < 80
    assert eight.hours is not None
    assert eight.hours > 0
    (one,) = forecast(*load(planned(tmp_path, llama2_7b, finetune_gpus=1)))
    assert one.fits is False
    assert one.gb is not None
    assert one.gb > 108
    assert "would fit: finetune_gpus: 2" in one.remark


@pytest.mark.parametrize(("recipe", "card", "gpus"), [("paper_80gb", 80.0, 1), ("lora", 24.0, 1), ("paper", 80.0, 8)])
def test_the_named_recipes_fit_where_they_say(
    llama2_7b: Path, tmp_path: Path, recipe: str, card: float, gpus: int
) -> None:
    (found,) = forecast(*load(planned(tmp_path, llama2_7b, recipe, card_gb=card, device_batch=1, finetune_gpus=gpus)))
    assert found.fits, found.remark


def test_disk_is_counted_with_what_is_kept(llama2_7b: Path, tmp_path: Path, cards: Callable[[int], None]) -> None:
    config, runs = load(planned(tmp_path, llama2_7b, keep_checkpoints=2, finetune_gpus=8))
    (found,) = forecast(config, runs)
    assert found.model_gb == pytest.approx(13.5, rel=0.01)
    assert found.checkpoints_gb == pytest.approx(3 * 12 * 6.738, rel=0.01)  # two kept, and the one being written
    twice = [*runs, runs[0].model_copy(update={"run": "again"})]
    assert "Disk: 269.5 GB: 27.0 with all models kept" in told(forecast(config, twice), config)
    thrifty = config.model_copy(update={"execution": config.execution.model_copy(update={"keep_models": False})})
    until = "Disk: 269.5 GB: 27.0 with all models until the report (keep_models: false)"
    assert until in told(forecast(thrifty, twice), thrifty)  # a model's card is written after the report
    cards(16)
    assert "Disk: 512.1 GB: 27.0 with all models kept" in told(forecast(config, twice), config)  # two trainings at once


def test_the_plan_counts_what_was_selected_and_leaves_out_what_is_done(
    llama2_7b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = planned(tmp_path, llama2_7b, finetune_gpus=8)
    config, runs = load(path)
    folder = Path(config.results) / "runs/two"
    write_records(folder / "train.jsonl", [Pair(id=str(i), instruction="Say.", output="It.") for i in range(926)])
    (found,) = forecast(config, runs)
    assert (found.records, found.steps) == (926, 24)
    assert cli.main(["plan", "--config", str(path)]) == 0
    assert " 926 " in capsys.readouterr().out
    (folder / "model").mkdir()
    (folder / "model" / "srt_finetune.json").write_text(json.dumps({}))
    assert forecast(config, runs) == []


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    (found,) = forecast(*load(planned(tmp_path, tmp_path / "nowhere", card_tflops=None)))
    assert (found.gb, found.fits, found.hours) == (None, None, None)
    assert "nowhere" in found.remark
    assert found.row()["fits"] == "unknown"
