"""Annotators: a judge's prompt and parser for AlpacaEval, from alpaca-eval's own configs or from a folder like them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from srt.settings import JudgeConfig
from srt.settings.values import validated
from srt.storage.errors import InputError
from srt.storage.readers import read_text
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

# Arguments of alpaca-eval's client that are no part of a request.
CLIENT_ARGUMENTS = ("model_name", "requires_chatml", "is_chat", "price_per_token", "client_config_path", "num_procs")
# What alpaca-eval's client sends where a config says nothing.
CLIENT_DEFAULTS = {"max_tokens": 2048, "temperature": 0.7, "top_p": 1.0}


@dataclass(frozen=True)
class Annotator:
    """A judge's prompt and parser: alpaca-eval's config, with what is ours taken out of it."""

    name: str
    prompt: str
    config: dict[str, Any]
    request: dict[str, Any]
    served: dict[str, Any]

    @property
    def identity(self) -> str:
        """All that a verdict depends on of it: prompt, request and parser."""
        config = {name: value for name, value in self.config.items() if name != "prompt_template"}  # a path
        return json.dumps([self.prompt, config, self.request, self.served])


class _AnnotatorFile(BaseModel):
    """Alpaca-eval's config of one annotator with its keys, and our `served`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt_template: str = Field(min_length=1)
    fn_completions: str
    completions_kwargs: dict[str, JsonValue] = {}
    fn_completion_parser: str | None = None
    completion_parser_kwargs: dict[str, JsonValue] | None = None
    batch_size: int = 1
    completion_key: str = "completions"
    processors_to_kwargs: dict[str, dict[str, JsonValue]] | None = None
    is_randomize_output_order: bool = True
    is_shuffle: bool = True
    seed: int | None = None
    pretty_name: str | None = None
    link: str | None = None
    served: dict[str, JsonValue] = {}


def read_annotator(name: str, judge: JudgeConfig) -> Annotator:
    """An annotator from a folder (as config/prompts/alpaca_eval_logprob) or, by its name, from alpaca-eval.

    One of alpaca-eval's own names its judge's model, and the judge's settings must name the same one.

    Raises:
        InputError: there is none of that name, or it needs more than one chat request per pair.
    """
    folder, stock = locate(name), _package_folder() / "evaluators_configs" / name
    own = (folder / "configs.yaml").is_file()
    if not own and not (stock / "configs.yaml").is_file():
        raise InputError(f"annotator: expected a folder with configs.yaml or a name in alpaca-eval, found {name!r}")
    path = (folder if own else stock) / "configs.yaml"
    configs = read_yaml(path)
    if not isinstance(configs, dict) or len(configs) != 1:
        raise InputError(f"{path}: expected one annotator, found {configs!r}"[:200])
    key, config = next(iter(configs.items()))
    validated(_AnnotatorFile, config, f"{path}: {key}")
    arguments = {**CLIENT_DEFAULTS, **config.get("completions_kwargs", {})}
    model = arguments.get("model_name", judge.model)
    if model != judge.model:
        raise InputError(
            f"{path}: this annotator's judge is {model!r}: expected it as the judge's model, found {judge.model!r}"
        )
    if (
        config.get("fn_completions") != "openai_completions"
        or config.get("batch_size", 1) != 1
        or "tokens_to_avoid" in arguments
    ):
        raise InputError(f"{path}: expected fn_completions openai_completions, batch_size 1 and no tokens_to_avoid")
    template = path.parents[1] / str(config["prompt_template"])
    if not template.is_file():
        raise InputError(f"{path}: prompt_template: no such file {template}")
    prompt = "\n".join(re.split("\r\n?|\n", read_text(template)))  # as the package reads it
    if not (prompt.strip().startswith("<|im_start|>") and prompt.strip().endswith("<|im_end|>")):
        raise InputError(f"{template}: expected a chat, from <|im_start|> to <|im_end|>")
    theirs = {k: v for k, v in config.items() if k not in ("completions_kwargs", "fn_completions", "served")}
    theirs["prompt_template"] = str(template.resolve())
    request = {k: v for k, v in arguments.items() if k not in CLIENT_ARGUMENTS}
    return Annotator(key, prompt, theirs, request, config.get("served", {}))


def _package_folder() -> Path:
    spec = find_spec("alpaca_eval")
    if spec is None or spec.origin is None:
        raise InputError("the package alpaca-eval is not installed: run `make .venv`")
    return Path(spec.origin).parent
