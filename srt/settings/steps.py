"""The sections of the steps from prepare to generate, and of the report."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from srt.settings.base import Backend, Dtype, Location, OptionalLocation, Place, Settings
from srt.settings.cases import Cased

BACKENDS = (
    "openai: any OpenAI-compatible endpoint; vllm-server: a started server; or a model in process (auto: vLLM where "
    "CUDA is, transformers otherwise)"
)


class PrepareConfig(Settings):
    """A named data set (`datasets:`), as it is read by `srt prepare`."""

    source: Annotated[Location, Place.DATA_SET] = Field(
        description="a JSON, JSONL or Parquet file, hub:OWNER/NAME/FILE[@REVISION], or a hub data set by name"
    )
    revision: str | None = Field(description="the hub revision; null for the newest (the resolved one is recorded)")
    split: str = Field(description="the split of a hub data set")
    duplicates: Literal["keep", "drop"] = Field(description="what to do with exact repeats")
    limit: int | None = Field(ge=1, description="take only the first N records of the source; null for all")


class ReflectConfig(Cased):
    """A named teacher (`teachers:`), as `srt reflect` asks it."""

    TOLD_BY = "backend"
    ORDER: ClassVar[tuple[str, ...]] = (
        *("model", "revision", "backend", "dtype", "prompts", "answers", "temperature", "top_p"),
        *("repetition_penalty", "max_new_tokens", "max_total_tokens"),
    )

    model: Annotated[Location, Place.MODEL] = Field(
        description="the teacher: a model folder, a hub name, or the endpoint's model name"
    )
    backend: Backend = Field(description=BACKENDS)
    prompts: Annotated[Location, Place.STYLE] = Field(description="the prompt style's file (config/prompts/*.yaml)")
    answers: Annotated[Location, Place.CLEANING] = Field(
        description="the file that says how an answer is cleaned (config/prompts/answers.yaml)"
    )
    temperature: float = Field(ge=0, description="sampling temperature; 0 is greedy")
    top_p: float = Field(gt=0, le=1, description="nucleus sampling mass")
    repetition_penalty: float = Field(gt=0, description="1 is none; small teachers need about 1.1")
    max_new_tokens: int = Field(ge=1, description="most new tokens an answer may have")
    max_pair_tokens: int = Field(
        ge=1, description="a longer pair is shown to the teacher with its response cut at the end"
    )
    pair_tokenizer: Annotated[OptionalLocation, Place.MODEL] = Field(
        description="whose tokens those are: a folder or hub name; null for the teacher's"
    )

    def journalled(self) -> dict[str, Any]:
        """What finished reflections are kept under: all settings, those of a model that runs here with every teacher.

        Once an endpoint had them too, in every config that was shipped with these values.
        """
        return {"revision": None, "dtype": "bfloat16", "max_total_tokens": 4050, **self.model_dump()}


class LocalTeacher(ReflectConfig):
    """A teacher whose model runs here, in process or behind a started server."""

    backend: Literal["auto", "transformers", "vllm", "vllm-server"] = Field(description=BACKENDS)
    revision: str | None = Field(description="the hub revision of the teacher; not of an endpoint")
    dtype: Dtype = Field(description="the teacher's weights and arithmetic; not of an endpoint")
    max_total_tokens: int = Field(
        ge=2, description="most tokens of prompt and answer together; not of an endpoint, which has its own limit"
    )


class EndpointTeacher(ReflectConfig):
    """A teacher behind somebody's endpoint."""

    backend: Literal["openai"] = Field(description=BACKENDS)


class StudentConfig(Settings):
    """A named student (`students:`)."""

    model: Annotated[Location, Place.MODEL] = Field(description="the student: a model folder or a hub name")
    revision: str | None = Field(description="the hub revision of the student")
    prompt: Literal["vicuna_v1.1", "alpaca", "chat"] = Field(description="its prompt when evaluated untuned")


class ScoreConfig(Settings):
    """How the student scores pairs."""

    dtype: Dtype = Field(description="the student's weights and arithmetic while scoring")
    precision: Literal["plain", "exact"] = Field(
        description="exact: what dtype leaves in doubt of a selection is scored again in float32; plain: nothing is"
    )
    max_length: int = Field(
        ge=2, description="most tokens of a scored text; fewer where the model's table of positions ends before"
    )
    template: Annotated[Location, Place.TEMPLATE] = Field(
        description="YAML with the student's templates `without_input` and `with_input`"
    )
    guess_prompt: Annotated[Location, Place.GUESS] = Field(
        description="text around {response} that asks to guess the instruction"
    )

    def of_scores(self) -> dict[str, Any]:
        """What a file of scores depends on; `precision` only says what a selection makes of it."""
        return self.model_dump(exclude={"precision"})


class CoherenceConfig(Settings):
    """The embedding behind the method `coherence`: the mean last hidden state of a model."""

    embedding: Annotated[OptionalLocation, Place.MODEL] = Field(
        description="an embedding model's folder or hub name; null for the student"
    )
    dtype: Dtype = Field(description="the embedding model's weights and arithmetic")
    max_length: int = Field(ge=1, description="most tokens of an embedded text; fewer as for scoring")


class SelectionConfig(Settings):
    """What the methods compare; the method, ratio and seed themselves stand in the run table."""

    ifd_below: float = Field(gt=0, description="the filters of the methods keep IFD below this")
    r_ifd_below: float = Field(gt=0, description="the filters of the methods keep r-IFD below this")
    perplexity_prefers: Literal["higher", "lower"] = Field(description="the direction of the method `perplexity`")
    proxy_sample: int = Field(ge=1, description="records that the student scores too, where a proxy scores for it")


class GenerateConfig(Settings):
    """How the finetuned models answer benchmark questions."""

    backend: Literal["auto", "transformers", "vllm"] = Field(description="auto: vLLM where CUDA is")
    dtype: Dtype = Field(description="weights and arithmetic while answering")
    temperature: float = Field(ge=0, description="sampling temperature; 0 is greedy")
    top_p: float = Field(gt=0, le=1, description="nucleus sampling mass")
    max_new_tokens: int = Field(ge=1, description="most tokens of an answer")
    seed: int = Field(ge=0, description="seed of the sampling")


class ReportConfig(Settings):
    """What the report says."""

    notice: str | None = Field(description="a warning at the head of the report; null for none")
    compare: dict[str, str] = Field(description="run: the name of the reported row that it is compared with")
    licences: dict[str, str] = Field(description="data set: the licence of its records, and so of what is made of them")
