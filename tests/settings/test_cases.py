"""Settings that exist in some cases only: what has no meaning is refused, by key, with one line for each fault."""

import copy
from typing import Any

import pytest

from helpers.cases import changed, teacher
from helpers.training import recipe
from srt.experiment.config import default_config, load
from srt.experiment.judges import read_judge
from srt.settings import Config, FinetuneConfig, JudgeConfig, ReflectConfig
from srt.settings.flags import as_flags
from srt.settings.judge import AskedJudge, ServedJudge
from srt.settings.steps import EndpointTeacher, LocalTeacher
from srt.settings.training import AdapterRecipe, FullRecipe
from srt.settings.values import Reading
from srt.storage.journal import content_key
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

LORA = {"lora_rank": 4, "lora_alpha": 8.0, "lora_dropout": 0.0}


@pytest.fixture
def values() -> dict[str, Any]:
    found: dict[str, Any] = read_yaml(default_config())
    return found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"adapter": "none", "lora_rank": 8}, ["lora_rank: has no meaning where adapter is 'none'"]),
        ({"adapter": "none", "lora_rank": None}, ["lora_rank: has no meaning where adapter is 'none'"]),
        ({"adapter": "lora"}, [f"{name}: is missing" for name in LORA]),
        (
            {"adapter": "lora", **LORA, "lora_rank": 0},
            ["lora_rank: Input should be greater than or equal to 1, found 0"],
        ),
        (
            {"adapter": "loar", **LORA},
            ["adapter: Input should be 'none', 'lora' or 'qlora', found 'loar', did you mean 'lora'?"],
        ),
        (
            {"adapter": "lora", "lora_rnk": 4, "lora_alpha": 8.0, "lora_dropout": 0.0},
            ["lora_rnk: is not a known key, did you mean 'lora_rank'?"],
        ),
        ({"adapter": "none", "dtyp": "float32"}, ["dtyp: is not a known key, did you mean 'dtype'?"]),
    ],
)
def test_one_line_for_each_fault_by_its_key(values: dict[str, Any], change: dict[str, Any], told: list[str]) -> None:
    values["recipes"]["demo"] |= change
    if "dtyp" in change:
        del values["recipes"]["demo"]["dtype"]
    found = [finding.line for finding in Reading(Config, values, "c.yaml").findings]
    assert found == [f"c.yaml: recipes.demo.{line}" for line in told]


def test_without_its_case_nothing_is_said_of_what_depends_on_it(values: dict[str, Any]) -> None:
    values["recipes"]["demo"] |= LORA
    del values["recipes"]["demo"]["adapter"]
    (finding,) = Reading(Config, values, "c.yaml").findings
    assert (finding.key, finding.message) == ("recipes.demo.adapter", "is missing")


def test_a_whole_config_keeps_the_settings_of_each_case() -> None:
    config, _ = load(locate("config/paper.yaml"))
    kinds = {type(each) for each in config.recipes.values()}
    assert kinds == {FullRecipe, AdapterRecipe}
    assert type(config.teachers["gpt"]) is EndpointTeacher
    assert Config.model_validate(config.model_dump()) == config


def test_checkpoints_are_found_where_they_were() -> None:
    full = recipe()
    assert full.journalled() == {**full.model_dump(), **dict.fromkeys(LORA)}
    adapted = FinetuneConfig.model_validate({**full.model_dump(), "adapter": "lora", **LORA})
    assert adapted.journalled() == adapted.model_dump()


@pytest.mark.parametrize(
    ("adapter", "kind"), [({"adapter": "none"}, FullRecipe), ({"adapter": "lora", **LORA}, AdapterRecipe)]
)
def test_a_section_that_is_called_is_its_case_as_well(
    values: dict[str, Any], adapter: dict[str, Any], kind: type[FinetuneConfig]
) -> None:
    given = {**values["recipes"]["demo"], **adapter}
    called = FinetuneConfig(**given)
    assert type(called) is kind
    assert called == FinetuneConfig.model_validate(given)
    assert type(called.model_copy(update={"epochs": 9.0})) is kind
    assert copy.deepcopy(called) == called


# --- Teachers and judges ------------------------------------------------------------------------------------------

LOCAL = {"revision": None, "dtype": "float32", "max_total_tokens": 2048}
NOT_OF_AN_ENDPOINT = [f"{name}: has no meaning where backend is 'openai'" for name in LOCAL]
SERVED = {"revision": None, "dtype": "float32", "max_model_len": None}
NOT_ASKED = [f"{name}: has no meaning where serve is False" for name in SERVED]
WRONG_KEY = "top_pp: is not a known key, did you mean 'top_p'?"
WRONG_DTYPE = "dtype: Input should be 'float32', 'bfloat16' or 'float16', found 'float23', did you mean 'float32'?"
WRONG_BACKEND = (
    "backend: Input should be 'auto', 'transformers', 'vllm', 'vllm-server' or 'openai', found 'opnai', "
    "did you mean 'openai'?"
)


@pytest.mark.parametrize(
    ("change", "without", "told"),
    [
        ({"backend": "openai"}, (), NOT_OF_AN_ENDPOINT),
        ({"backend": "openai"}, LOCAL, []),
        ({}, LOCAL, [f"{name}: is missing" for name in LOCAL]),
        ({"backend": "opnai"}, LOCAL, [WRONG_BACKEND]),
        ({"backend": "opnai"}, (), [WRONG_BACKEND]),
        ({}, ("backend", *LOCAL), ["backend: is missing"]),
        ({"dtyp": "float32"}, ("dtype",), ["dtyp: is not a known key, did you mean 'dtype'?"]),
        ({"backend": "openai", "top_pp": 1.0}, ("top_p", *LOCAL), [WRONG_KEY]),
        ({"dtype": "float23"}, (), [WRONG_DTYPE]),
    ],
)
def test_an_endpoint_has_no_settings_of_a_model_that_runs_here(
    values: dict[str, Any], change: dict[str, Any], without: list[str], told: list[str]
) -> None:
    known = {**values["teachers"]["smollm2"], **change}
    values["teachers"]["smollm2"] = {name: value for name, value in known.items() if name not in without}
    found = [finding.line for finding in Reading(Config, values, "c.yaml").findings]
    assert sorted(found) == sorted(f"c.yaml: teachers.smollm2.{line}" for line in told)


@pytest.mark.parametrize(
    ("change", "without", "told"),
    [
        ({}, (), []),
        ({"serve": False}, (), NOT_ASKED),
        ({"serve": False}, SERVED, []),
        ({}, SERVED, [f"{name}: is missing" for name in SERVED]),
        ({"serve": "no"}, (), ["serve: Input should be a valid boolean, found 'no'"]),
        ({"serve": "no"}, SERVED, ["serve: Input should be a valid boolean, found 'no'"]),
        ({}, ("serve",), ["serve: is missing"]),
        ({"serve": False, "model": 3}, SERVED, ["model: Input should be a valid string, found 3"]),
    ],
)
def test_a_judge_that_is_not_served_has_no_settings_of_one(
    change: dict[str, Any], without: list[str], told: list[str]
) -> None:
    known = {**read_yaml(locate("config/judges/smollm2.yaml")), **change}
    known = {name: value for name, value in known.items() if name not in without}
    found = [finding.line for finding in Reading(JudgeConfig, known, "j.yaml").findings]
    assert sorted(found) == sorted(f"j.yaml: {line}" for line in told)


def test_the_shipped_judges_and_teachers_are_of_their_cases() -> None:
    kinds = {name: type(read_judge(f"config/judges/{name}.yaml")) for name in ("gpt4", "gpt4_1", "smollm2")}
    assert kinds == {"gpt4": AskedJudge, "gpt4_1": AskedJudge, "smollm2": ServedJudge}
    assert type(load()[0].teachers["smollm2"]) is LocalTeacher


def test_the_flags_of_a_teacher_that_runs_here_are_what_they_were() -> None:
    """In their order too: Snakemake would make finished reflections again, and failed records be asked for again."""
    assert as_flags(load()[0].teachers["smollm2"]) == (
        "--model models/smollm2-135m-instruct --revision null --backend vllm --dtype float32 "
        "--prompts config/prompts/turns.yaml --answers config/prompts/answers.yaml --temperature 0.0 --top-p 1.0 "
        "--repetition-penalty 1.1 --max-new-tokens 160 --max-total-tokens 2048 --max-pair-tokens 1024 "
        "--pair-tokenizer null"
    )


def test_finished_reflections_are_found_where_they_were() -> None:
    """The keys are of the version in which an endpoint had all settings."""
    here = load()[0].teachers["smollm2"]
    assert content_key(here.journalled()) == "6df2958c5b1a9fa0983fbc8dcacdc7ca85bf06efc325207b34bd41b50c392980"
    asked = teacher(load(locate("config/paper.yaml"))[0].teachers["gpt"], pair_tokenizer=None)
    assert content_key(asked.journalled()) == "85d535054f697a229b2f95274bc7244bab41ff3518bc0fc70d7cf5da20f7c254"


def test_a_judge_is_recorded_with_the_keys_that_it_had() -> None:
    served = read_judge("config/judges/smollm2.yaml")
    assert served.recorded() == served.model_dump()
    asked = JudgeConfig.model_validate(changed(served.model_dump(), JudgeConfig, serve=False))
    assert asked.recorded() == {**served.model_dump(), "serve": False, **dict.fromkeys(SERVED)}
    assert not set(SERVED) & set(asked.model_dump())


def test_a_teacher_changes_its_case_with_its_backend() -> None:
    here = load()[0].teachers["smollm2"]
    assert not set(LOCAL) & set(teacher(here, backend="openai").model_dump())
    assert ReflectConfig.model_validate(here.model_dump()) == here
