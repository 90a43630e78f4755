"""The plan of the paper's experiment as a whole, and what its tables wait for."""

import re
from pathlib import Path

import pytest
import yaml

from helpers import TESTS
from helpers.steered import Answering
from helpers.training import tiny_tokenizer
from srt import cli
from srt.experiment import layout
from srt.experiment.config import load
from srt.planning import workload
from srt.reflection.reflect import Service, reflect
from srt.settings import Endpoint
from srt.settings.benchmarks import benchmarks
from srt.settings.job import Job
from srt.storage.files import write_json, write_records
from srt.storage.records import Pair
from srt.storage.yaml_files import read_yaml

pytestmark = pytest.mark.slow

SNAPSHOT = TESTS / "data" / "plan_paper.txt"
RECORDS = {"alpaca": 520, "wizardlm": 700}  # a hundredth of what the data sets have
SIZES = {
    "llama2-7b": {"vocab_size": 32000},
    "llama2-13b": {"vocab_size": 32000, "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40,
                   "num_attention_heads": 40},
}  # fmt: skip


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """config/paper.yaml with made-up data, the students' shapes, a made-up speed of the cards and of the teacher."""
    from transformers import LlamaConfig

    folder = tmp_path_factory.mktemp("paper")
    values = read_yaml(Path("config/paper.yaml"))
    values |= {"results": str(folder / "results"), "cache": str(folder / "cache")}
    values["execution"]["card_tflops"] = 3.0
    for name, size in SIZES.items():
        LlamaConfig(**size).save_pretrained(folder / name)
        tiny_tokenizer().save_pretrained(folder / name)
        values["students"][name] |= {"model": str(folder / name), "revision": None}
    values["teachers"]["gpt"]["pair_tokenizer"] = str(folder / "llama2-7b")
    for name, number in RECORDS.items():
        records = [{"instruction": f"Say {i}.", "input": "", "output": f"It is {i}. " * 40} for i in range(number)]
        write_json(folder / f"{name}.json", records)
        values["datasets"][name]["source"] = str(folder / f"{name}.json")
    (folder / "paper.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return folder / "paper.yaml"


@pytest.fixture(scope="module")
def measured(paper: Path) -> Path:
    """The same once the teacher has answered other records, with 60 tokens and in 36 seconds each."""
    config, _ = load(paper)
    pairs = [Pair(id=f"r{i}", instruction=f"Other {i}. " * 20, output=f"{i} " * 50) for i in range(30)]
    write_records(paper.parent / "pairs.jsonl", pairs)
    server = Endpoint(base_url="http://127.0.0.1:9/v1", api_key_env=None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("srt.llm.opening.open_backend", lambda *_: Answering())
        job = Job(paper.parent / "out.jsonl", Path(config.cache), config.execution)
        reflect(paper.parent / "pairs.jsonl", "instruction", config.teachers["gpt"], job, Service(server))
    (journal,) = (Path(config.cache) / "teacher").rglob("*.jsonl")
    journal.write_text(re.sub(r'"wall": [0-9.e-]+', '"wall": 36.0', journal.read_text()))
    return paper


def test_the_paper_s_plan_is_as_it_was(measured: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A change is looked at and copied: the failure names the file."""
    assert cli.main(["plan", "--config", str(measured)]) == 0
    shown = tmp_path / "plan.txt"
    shown.write_text("\n".join(map(str.rstrip, capsys.readouterr().out.splitlines())) + "\n")
    assert shown.read_text() == SNAPSHOT.read_text(), f"if that is right: cp {shown} {SNAPSHOT}"


def test_a_table_waits_for_what_its_rows_are_made_of(paper: Path) -> None:
    config, runs = load(paper)
    paths = {job.path for job in workload.of_table(config, runs, "pairwise")}
    (one,) = (run for run in runs if run.run == "wizardlm-7b-random")
    against = [layout.EVALUATION.format(run=one.run, benchmark=name) for name in layout.benchmarks(config, one)]
    assert [path for path in against if "pairwise_" in path] == [path for path in against if path in paths]
    trained = {layout.MODEL.format(run=name) for name in (one.run, *config.evaluate.pairwise.opponents)}
    assert trained <= paths
    everything = workload.of_all(config, runs)
    assert everything == {job for table in layout.tables() for job in workload.of_table(config, runs, table)}
    assert workload.READS.keys() | benchmarks().keys() | {"comparison"} == {*layout.tables()}


def test_what_is_there_is_not_counted(paper: Path) -> None:
    config, runs = load(paper)
    before = workload.of_all(config, runs)
    done = Path(config.results) / layout.ORIGINAL.format(dataset="alpaca")
    done.parent.mkdir(parents=True)
    done.touch()
    gone = before - workload.of_all(config, runs)
    done.unlink()
    assert [job.path for job in gone] == ["data/alpaca/original.jsonl"]
