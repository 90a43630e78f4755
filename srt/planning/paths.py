"""What the paths of settings lead to: whether it is there, of the right kind, and what its step can read.

Names on the hub are no paths, and nothing here asks the network. A file that is small is read whole by its own reader.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

from pydantic import BaseModel

from srt.evaluation.annotators import read_annotator
from srt.evaluation.mt_bench import read_grading_prompt
from srt.evaluation.pairwise import read_prompt
from srt.evaluation.questions import read_questions
from srt.evaluation.replay import read_annotations
from srt.evaluation.suites import read_suite, require_items, require_tasks
from srt.experiment.judges import read_judge
from srt.llm.loading import require
from srt.llm.prompts import WHEEL_PROMPTS, guess_prompt, student_template
from srt.prepare.prepare import is_file
from srt.prepare.sources import HUB, hub_address
from srt.reflection.cleaning import read_cleaning
from srt.reflection.styles import read_style
from srt.settings import Config, JudgeConfig, OpenLlmConfig, places
from srt.settings.base import Place
from srt.settings.judge import AskedJudge
from srt.settings.places import Look, require_file, require_folder
from srt.settings.steps import EndpointTeacher
from srt.settings.types import Spot, spots
from srt.storage.errors import InputError
from srt.storage.findings import Finding, refuse
from srt.storage.shipped import locate

SMALL = 16 * 2**20  # bytes; a larger file of questions or annotations is left to its step


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
    return [] if spot.text in made else places.findings_at(spot, LOOKS[spot.place], where, about)


def _judge_findings(judge: Spot, made: Collection[str]) -> Iterator[Finding]:
    for spot in spots(read_judge(judge.text)):
        yield from findings_at(spot, str(locate(judge.text)), made, about=judge.key)


def require_paths(section: BaseModel, name: Callable[[str], str]) -> None:
    """InputError with a line for every path of a section that is of no use; `name` says what its keys are called.

    Its lists and maps are left out, as no step reads them.
    """
    plain = [spot for spot in spots(section) if "." not in spot.key]
    refuse(Finding("", name(spot.key), text) for spot in plain for text in places.complaints(spot, LOOKS[spot.place]))


def require_source(text: str) -> None:
    """InputError unless a source is a file that is there, or an address on the hub."""
    if text.startswith(HUB):
        hub_address(text)
    else:
        require_file(text)


def _require_data_set(text: str) -> None:
    """InputError unless a data set's source is a file that is there, an address or a name on the hub."""
    path = Path(text)
    beside = text.count("/") == 1 and path.parent.is_dir()
    if is_file(text) or path.is_absolute() or text.startswith(".") or text.count("/") > 1 or beside:
        require_source(text)


def _output(text: str, section: BaseModel) -> None:
    if Path(text).exists() and not Path(text).is_dir():
        raise InputError(f"{text}: is a file, expected a folder")


def _model(text: str, section: BaseModel) -> None:
    asked = (isinstance(section, EndpointTeacher) and text == section.model) or isinstance(section, AskedJudge)
    if not asked:  # else it is the endpoint's name of the model
        require(text)


def _template(text: str, section: BaseModel) -> None:
    if text not in WHEEL_PROMPTS:
        places.read(student_template, text, section, also=WHEEL_PROMPTS)


def _comparison(text: str, section: BaseModel) -> None:
    if isinstance(section, JudgeConfig):
        read_annotator(text, section)


def _items(text: str, section: BaseModel) -> None:
    require_folder(text)
    if isinstance(section, OpenLlmConfig) and locate(section.suite).is_file():
        require_items(read_suite(section.suite)[0], text)


def _read_small(reader: Callable[[str], object], text: str, section: BaseModel) -> None:
    require_source(text)
    path = locate(text)
    if path.is_file() and path.suffix != ".parquet" and path.stat().st_size <= SMALL:
        reader(text)


LOOKS: dict[Place, Look] = {
    Place.OUTPUT: _output,
    Place.RUN_TABLE: places.is_file,  # what is in it is told beside the config
    Place.SOURCE: lambda text, section: require_source(text),
    Place.DATA_SET: lambda text, section: _require_data_set(text),
    Place.QUESTIONS: partial(_read_small, read_questions),
    Place.ANNOTATIONS: partial(_read_small, lambda text: read_annotations(locate(text))),
    Place.MODEL: _model,
    Place.STYLE: partial(places.read, read_style),
    Place.CLEANING: partial(places.read, read_cleaning),
    Place.TEMPLATE: _template,
    Place.GUESS: partial(places.read, guess_prompt),
    Place.JUDGE: partial(places.read, read_judge),
    Place.COMPARISON: _comparison,
    Place.SCORES: partial(places.read, read_prompt),
    Place.GRADES: partial(places.read, read_grading_prompt),
    Place.SUITE: partial(places.read, lambda text: require_tasks(*read_suite(text))),
    Place.ITEMS: _items,
}
