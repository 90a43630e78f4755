"""What all sections of the config share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Dtype = Literal["float32", "bfloat16", "float16"]
Backend = Literal["auto", "transformers", "vllm", "vllm-server", "openai"]


class Settings(BaseModel):
    """Base of all sections: strict types, no unknown key, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
