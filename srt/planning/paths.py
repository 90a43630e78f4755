"""What the paths of settings lead to: whether it is there, of the right kind, and what its step can read.

Names on the hub are no paths, and nothing here asks the network. A file that is small is read whole by its own reader.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

from pydantic import BaseModel

from srt.checks.finding import Finding, did_you_mean, lines_in, refuse
from srt.checks.types import Spot, spots
from srt.cleaning import read_cleaning
from srt.config import locate, read_judge
from srt.evaluation.annotators import read_annotator
from srt.evaluation.mt_bench import read_grading_prompt
from srt.evaluation.pairwise import read_prompt
from srt.evaluation.questions import read_questions
from srt.evaluation.replay import read_annotations
from srt.evaluation.suites import read_suite, require_items, require_tasks
from srt.models import require
from srt.prepare import is_file
from srt.prompts import WHEEL_PROMPTS, guess_prompt, student_template
from srt.readers import other_kind
from srt.records import InputError
from srt.settings import Config, JudgeConfig, OpenLlmConfig, ReflectConfig
from srt.settings.base import Place
from srt.sources import HUB, hub_address
from srt.styles import read_style

SMALL = 16 * 2**20  # bytes; a larger file of questions or annotations is left to its step
NO_FILE = "no such file"
Look = Callable[[str, BaseModel], object]  # a path and its section; raises InputError


def path_findings(config: Config, where: str, made: Collection[str] = ()) -> Iterator[Finding]:
    """What is wrong with the files and folders that a config names, and with those that its judges' files name.

    `made` are models that the workflow makes by itself.
    """
    for spot in spots(config):
        found = findings_at(spot, where, made)
        yield from found
        if spot.place is Place.JUDGE and not found:
            yield from _judge_findings(spot, made)


def findings_at(spot: Spot, where: str, made: Collection[str] = (), about: str = "") -> list[Finding]:
    """What is wrong with one path of a file, and what to do."""
    found = complaints(spot, made)
    told = [f"{text}: put it there, or name another" if text.endswith(NO_FILE) else text for text in found]
    return [Finding(where, spot.key, text, about) for text in told]


def _judge_findings(judge: Spot, made: Collection[str]) -> Iterator[Finding]:
    for spot in spots(read_judge(judge.text)):
        yield from findings_at(spot, str(locate(judge.text)), made, about=judge.key)


def require_paths(section: BaseModel, name: Callable[[str], str]) -> None:
    """InputError with a line for every path of a section that is of no use; `name` says what its keys are called.

    Its lists and maps are left out, as no step reads them.
    """
    plain = [spot for spot in spots(section) if "." not in spot.key]
    refuse(Finding("", name(spot.key), text) for spot in plain for text in complaints(spot))


def complaints(spot: Spot, made: Collection[str] = ()) -> list[str]:
    """What is wrong with what a path leads to, a line each."""
    if spot.text in made:
        return []
    try:
        LOOKS[spot.place](spot.text, spot.section)
    except InputError as error:
        return lines_in(error)
    except OSError as error:
        return [f"{spot.text}: cannot be read: {error.strerror}"]
    except UnicodeDecodeError as error:
        return [f"{spot.text}: is not UTF-8 text (byte {error.start})"]
    return []


def require_file(text: str, also: Collection[str] = ()) -> None:
    """InputError unless a file is there; a name that is close, of a file beside it or of those in `also`, is told."""
    path = locate(text)
    if kind := other_kind(path):
        raise InputError(f"{text}: is {kind}, expected a file")
    if not os.path.exists(path):
        raise InputError(f"{text}: {NO_FILE}{did_you_mean(text, [*_beside(path), *also])}")


def require_folder(text: str) -> None:
    """InputError unless a folder is there."""
    path = locate(text)
    if not path.is_dir():
        what = "is a file, expected a folder" if path.exists() else f"no such folder{did_you_mean(text, _beside(path))}"
        raise InputError(f"{text}: {what}")


def _beside(path: Path) -> list[str]:
    """The paths that are there in a path's folder, or in the one that ships with the package."""
    try:
        return [str(path.parent / other.name) for other in locate(str(path.parent)).iterdir()]
    except OSError:
        return []


def require_source(text: str) -> None:
    """InputError unless a source is a file that is there, or an address on the hub."""
    if text.startswith(HUB):
        hub_address(text)
    else:
        require_file(text)


def require_data_set(text: str) -> None:
    """InputError unless a data set's source is a file that is there, an address or a name on the hub."""
    path = Path(text)
    beside = text.count("/") == 1 and path.parent.is_dir()
    if is_file(text) or path.is_absolute() or text.startswith(".") or text.count("/") > 1 or beside:
        require_source(text)


def _output(text: str, section: BaseModel) -> None:
    if Path(text).exists() and not Path(text).is_dir():
        raise InputError(f"{text}: is a file, expected a folder")


def _model(text: str, section: BaseModel) -> None:
    asked = (isinstance(section, ReflectConfig) and section.backend == "openai" and text == section.model) or (
        isinstance(section, JudgeConfig) and not section.serve
    )
    if not asked:  # else it is the endpoint's name of the model
        require(text)


def _template(text: str, section: BaseModel) -> None:
    if text not in WHEEL_PROMPTS:
        _read(student_template, text, section, also=WHEEL_PROMPTS)


def _comparison(text: str, section: BaseModel) -> None:
    if isinstance(section, JudgeConfig):
        read_annotator(text, section)


def _items(text: str, section: BaseModel) -> None:
    require_folder(text)
    if isinstance(section, OpenLlmConfig) and locate(section.suite).is_file():
        require_items(read_suite(section.suite)[0], text)


def _read(reader: Callable[[str], object], text: str, section: BaseModel, also: Collection[str] = ()) -> None:
    """The file must be there, and its own reader must take it."""
    require_file(text, also)
    reader(text)


def _read_small(reader: Callable[[str], object], text: str, section: BaseModel) -> None:
    require_source(text)
    path = locate(text)
    if path.is_file() and path.suffix != ".parquet" and path.stat().st_size <= SMALL:
        reader(text)


LOOKS: dict[Place, Look] = {
    Place.OUTPUT: _output,
    Place.RUN_TABLE: lambda text, section: require_file(text),  # what is in it is told beside the config
    Place.SOURCE: lambda text, section: require_source(text),
    Place.DATA_SET: lambda text, section: require_data_set(text),
    Place.QUESTIONS: partial(_read_small, read_questions),
    Place.ANNOTATIONS: partial(_read_small, lambda text: read_annotations(locate(text))),
    Place.MODEL: _model,
    Place.STYLE: partial(_read, read_style),
    Place.CLEANING: partial(_read, read_cleaning),
    Place.TEMPLATE: _template,
    Place.GUESS: partial(_read, guess_prompt),
    Place.JUDGE: partial(_read, read_judge),
    Place.COMPARISON: _comparison,
    Place.SCORES: partial(_read, read_prompt),
    Place.GRADES: partial(_read, read_grading_prompt),
    Place.SUITE: partial(_read, lambda text: require_tasks(*read_suite(text))),
    Place.ITEMS: _items,
}
