"""Settings that exist in some cases only: what has no meaning is refused, by key, with one line for each fault."""

import copy
from typing import Any

import pytest

from helpers.training import recipe
from srt.experiment.config import default_config, load
from srt.settings import Config, FinetuneConfig
from srt.settings.training import AdapterRecipe, FullRecipe
from srt.settings.values import Reading
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
