"""Sections in another of their cases."""

from typing import Any

from srt.settings import JudgeConfig, ReflectConfig
from srt.settings.cases import case_of, fields_of


def changed(values: dict[str, Any], kind: type[ReflectConfig] | type[JudgeConfig], **changes: Any) -> dict[str, Any]:
    """The values of a section with changes, without what has no meaning then."""
    known = {**values, **changes}
    return {name: value for name, value in known.items() if name in fields_of(case_of(kind, known))}


def teacher(settings: ReflectConfig, **changes: Any) -> ReflectConfig:
    """A teacher with changes; an endpoint has no settings of a model that runs here."""
    return ReflectConfig.model_validate(changed(settings.model_dump(), ReflectConfig, **changes))
