"""What surrounds a run and is of no use: devices for files, names that are too long, proxies, no network, odd YAML."""

import copy
import re
from pathlib import Path

import pytest

from helpers.serving import Serving, reply
from helpers.tree import copy_of_tree, snakemake
from srt import cli
from srt.experiment.config import default_config
from srt.experiment.table import table_of
from srt.planning.check import examine, lines
from srt.storage.errors import InputError
from srt.storage.yaml_files import read_yaml

VALUES = read_yaml(default_config())
LONG = "ä" * 300
PROXIES = ("ftp://x:1", "http://u:hunter2@127.0.0.1:nowhere", "socks5://127.0.0.1:1")


@pytest.mark.parametrize("file", ["/dev/null", "/dev/zero", f"{LONG}/x"])
@pytest.mark.parametrize(
    "key", ["run_table", "teachers.smollm2.prompts", "score.guess_prompt", "evaluate.mt_bench.judge"]
)
def test_a_config_that_names_what_is_no_file_is_told_in_a_line(key: str, file: str) -> None:
    values = section = copy.deepcopy(VALUES)
    *above, name = key.split(".")
    for each in above:
        section = section[each]
    section[name] = file
    (line,) = lines(examine(values, "c.yaml"))
    assert file in line
    assert "no such" in line or "is a device, expected a" in line


def test_a_run_table_of_too_long_a_name_is_told() -> None:
    assert [finding.line for finding in table_of(Path(LONG)).findings] == [f"{LONG}: no such run table"]


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "all_proxy"])
def test_a_proxy_of_no_use_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str) -> None:
    monkeypatch.setenv(variable, proxy)
    with Serving(200, reply(1), {}) as serving:
        from helpers.fake_judge import execution_config
        from srt.llm.sending import Sender
        from srt.llm.servers import OpenServer

        Sender(OpenServer(f"http://127.0.0.1:{serving.port}/v1", "k", "m"), execution_config()).close()  # needs none
        with pytest.raises(InputError, match=rf"{variable}: expected the address of a proxy") as error:
            Sender(OpenServer("http://host.invalid/v1", "k", "m"), execution_config())
    assert "hunter2" not in str(error.value)


def test_a_data_set_of_the_hub_without_network_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import httpx2
    from huggingface_hub import HfApi

    def refuse(*args: object, **more: object) -> None:
        raise httpx2.ConnectError("Name or service not known")

    monkeypatch.setattr(HfApi, "dataset_info", refuse)
    assert cli.main(["prepare", "owner/name", str(tmp_path / "pairs.jsonl")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("srt: owner/name: is neither a file here nor a hub data set that can be reached: Name")


def test_a_dash_is_no_name_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text('[{"instruction": "a", "output": "b"}]')
    assert cli.main(["prepare", "a.json", "-"]) == 2
    assert "srt: -: expected the name of a file to write, as `./-`" in capsys.readouterr().err
    assert not Path("-").exists()


def test_sections_of_another_kind_are_told_in_the_same_words() -> None:
    for value in (None, ["a"], "a"):
        (line,) = lines(examine({**VALUES, "datasets": value}, "c.yaml"))
        assert line == f"c.yaml: datasets: expected keys with their values, found {value!r}"


@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False], ids=["named", "by default"])
def test_a_key_that_stands_twice_in_the_config_stops_the_dry_run(tmp_path: Path, given: bool) -> None:
    tree = copy_of_tree(tmp_path / "tree")
    name = "twice.yaml" if given else "config/config.yaml"
    text = (tree / "config/config.yaml").read_text()
    (tree / name).unlink(missing_ok=True)
    (tree / name).write_text(text.replace("\nresults:", "\nresults: other\nresults:"))
    code, _, err = snakemake(tree, "-n", *(["--configfile", name] if given else []))
    assert code == 2
    number = text[: text.index("results:")].count("\n") + 2
    told = f"srt: {tree / name if given else name}: line {number}: is not YAML: key 'results' occurs twice"
    assert re.findall(r"^srt: .*", err, re.MULTILINE) == [told]


@pytest.mark.slow
def test_a_default_config_that_is_no_text_stops_the_dry_run(tmp_path: Path) -> None:
    tree = copy_of_tree(tmp_path / "tree")
    config = tree / "config/config.yaml"
    data = config.read_bytes()
    config.unlink()
    config.write_bytes(data + b"# \xe9\n")
    code, _, err = snakemake(tree, "-n")
    assert code == 2
    assert f"srt: config/config.yaml: is not UTF-8 text (byte {len(data) + 2})\n" in err
