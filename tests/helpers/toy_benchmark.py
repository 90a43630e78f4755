"""A benchmark as another package brings it: one module and an entry point, which a test puts beside this package."""

from pathlib import Path

MODULE = '''
"""How polite a model is: the share of its answers that say a certain word. Nobody judges."""

from dataclasses import dataclass

from pydantic import Field

from srt.evaluation.questions import questions_version, read_answers, read_questions
from srt.evaluation.request import Request, given
from srt.evaluation.result import write_result
from srt.evaluation.statistics import mean_and_error
from srt.report.formats import NOT_RUN, Column, Part
from srt.report.reported import evaluation, metric
from srt.report.tables import columns
from srt.report.tables.rows import SetupCells, as_row, setup_cells
from srt.report.tables.table import NO_RUN, BenchmarkTable
from srt.settings import Settings
from srt.settings.benchmark import Benchmark
from srt.storage.records import Evaluation, Metric


class PolitenessConfig(Settings):
    """The share of the answers that say a word."""

    word: str = Field(description="what a polite answer says")


def requested(request: Request[PolitenessConfig]) -> None:
    """Write the share as one `Evaluation`."""
    source = given(request.questions, "--questions")
    questions = read_questions(source)
    answers = read_answers(given(request.answers, "ANSWERS"), questions)
    items = [(key, 100.0 * (request.settings.word in answer.answer)) for key, answer in answers.items()]
    value, error = mean_and_error([share for _, share in items])
    found = Evaluation(
        benchmark=request.job.out.stem,
        metrics=[Metric(name="polite", value=value, se=error, n=len(items))],
        judge=None,
        task_versions=questions_version(source, questions),
        settings=request.settings.model_dump(),
        versions={},
        missing={},
    )
    write_result(request.job.out, found, items)


@dataclass(frozen=True, kw_only=True)
class Row:
    source: str
    setup: SetupCells
    polite: float | None = None
    polite_se: float | None = None


def _row(inputs, run):
    setup, found = setup_cells(inputs.results, run), evaluation(inputs.results, run.run, "politeness")
    if found is None:
        return Row(setup=setup, source=NOT_RUN)
    polite = metric(*[found[0], "polite", found[1]])
    return Row(setup=setup, polite=polite.value, polite_se=polite.se, source=found[1])


COLUMNS = (*columns.RUN, Column("polite", "Polite", 1, main=True), Column("polite_se", "SE", 1), columns.FILE)
TABLE = BenchmarkTable(
    title="Politeness (%)",
    notes="Polite: says the word.",
    parts=[Part("politeness", "Politeness", COLUMNS, (), NO_RUN)],
    rows=lambda inputs: [[as_row(_row(inputs, run)) for run in inputs.runs]],
)
POLITENESS = Benchmark(
    key="politeness",
    title="Politeness",
    about="Politeness: the share of the answers that say a word.",
    command="politeness",
    settings=PolitenessConfig,
    evaluate="politeness:requested",
    table="politeness:TABLE",
    questions="politeness",
    asks=True,
    metric="polite",
)
'''


def install(folder: Path, value: str = "politeness:POLITENESS") -> list[Path]:
    """Lay the package out as pip does, for PYTHONPATH; the files that were written."""
    about = folder / "polite-1.0.dist-info"
    about.mkdir(parents=True)
    files = {folder / "politeness.py": MODULE, about / "entry_points.txt": f"[srt.benchmarks]\npoliteness = {value}\n"}
    for path, text in files.items():
        path.write_text(text)
    return list(files)
