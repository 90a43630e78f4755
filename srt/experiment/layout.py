"""Where every artefact lies below the results folder: the one place that the workflow and the report read.

The patterns are Snakemake's and Python's format strings alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from srt.experiment.runs import Run
from srt.settings import Config
from srt.settings.benchmark import Planned
from srt.settings.benchmarks import benchmarks as all_benchmarks
from srt.settings.given import Variant
from srt.settings.judge import judge_name
from srt.storage import trainings
from srt.storage.sidecars import items_of, meta_of

PAIRS = "data/{pairs}.jsonl"  # any of the next three
ORIGINAL = "data/{dataset}/original.jsonl"
REFLECTED = "data/{dataset}/{teacher}/{variant}.jsonl"
REFLECTED_FOR_STUDENT = "data/{dataset}/{teacher}/{student}/{variant}.jsonl"
AGREEMENT = "runs/{run}/proxy.json"
RESCORED = "runs/{run}/rescored.jsonl"
TRAIN = "runs/{run}/train.jsonl"
LEDGER = "runs/{run}/ledger.jsonl"
DATA_CARD = "runs/{run}/DATA_CARD.md"
MODEL_CARD = "runs/{run}/MODEL_CARD.md"
MODEL = "runs/{run}/model"
TRAINING = f"{MODEL}/{trainings.RECORD}"
ANSWERS = "runs/{run}/answers/{questions}.jsonl"
EVALUATION = "runs/{run}/evaluation/{benchmark}.json"
IMPORTED = "scores/{imported}.jsonl"  # scores that somebody else computed, by their path
REPLAYED = "runs/{judged}.json"  # an evaluation whose judgments are given, by its path
CALIBRATION = "judges/{judge}.json"
# The paper's, then what it does not have.
_TABLES = (
    *("alpaca_eval", "open_llm", "ablation", "selection_ratio", "pairwise", "data", "examples"),
    *("alpaca_eval_2", "mt_bench", "comparison", "judges"),
)
# The paper's own numbers, as far as they are known, are targets as well.
TABLE_NUMBERS = {"1": "alpaca_eval"}
FIGURES = ("score_vs_data", "selection_ratio", "pairwise", "ifd_distributions")
TABLE = "tables/{table}.{ext}"
FIGURE = "figures/{figure}.{ext}"
NOTEBOOK = "notebooks/{figure}.ipynb"
REPORT = "report.html"
SO_FAR = "so_far"  # what is drawn of unfinished results, laid out as below the results folder
TIMINGS = "timings/"  # one TSV per job, by the path of its log


def tables() -> tuple[str, ...]:
    """The tables, the paper's first, those of other packages' benchmarks last: `table_NAME` is a target of its own."""
    return (*_TABLES, *(key for key in all_benchmarks() if key not in _TABLES))


def scores_of(pairs: str) -> str:
    """The pattern of the scores of a pairs file: `scores/{student}/` and the data's own path."""
    return "scores/{student}/" + pairs.removeprefix("data/")


def shard_of(scores: str) -> str:
    """The pattern of one shard of a scores file; Snakemake deletes it when the shards are gathered."""
    return "shards/" + scores.removeprefix("scores/").removesuffix(".jsonl") + ".{shard}-of-{shards}.jsonl"


def coherence_of(pairs: str) -> str:
    """The pattern of the coherence of a pairs file: like its scores, under `coherence/`."""
    return "coherence/{student}/" + pairs.removeprefix("data/")


def _pairs_pattern(variant: str, responses: str) -> str:
    """The pattern of a variant's pairs under a plan for the response reflection (`all` or `selected`)."""
    if variant == "original":
        return ORIGINAL
    if responses == "selected" and variant in ("response", "both"):
        return REFLECTED_FOR_STUDENT
    return REFLECTED


def variants_read(run: Run) -> Sequence[str]:
    """The variants whose pairs a run's method reads."""
    return run.chosen_by.variants if run.dataset is not None else ()


def reads_scores(run: Run) -> bool:
    """Whether a student's scores decide what the run keeps."""
    return run.chosen_by.reads_scores(run.ratio)


def pairs_paths(run: Run, responses: str) -> dict[str, str]:
    """variant: path below the results folder, for what the run reads."""
    return {v: _pairs_pattern(v, responses).format(variant=v, **_names(run)) for v in variants_read(run)}


def scores_paths(run: Run, responses: str) -> dict[str, str]:
    """variant: path of the scores, for what the run's method compares or ranks."""
    if not reads_scores(run):
        return {}
    patterns = {v: scores_of(_pairs_pattern(v, responses)) for v in variants_read(run)}
    return {v: pattern.format(variant=v, **_names(run)) for v, pattern in patterns.items()}


def _names(run: Run) -> dict[str, str | None]:
    """What stands in the patterns of pairs and scores; {student} is who scores."""
    return {"dataset": run.dataset, "teacher": run.teacher, "student": run.scored_by}


def is_rescored(config: Config, run: Run) -> bool:
    """Whether what low precision leaves in doubt of the run's selection is computed again in float32.

    Scores that somebody else computed stay as they are.
    """
    given = run.dataset in config.given.scores.get(run.scored_by, {})
    return config.score.precision == "exact" and config.score.dtype != "float32" and reads_scores(run) and not given


def is_compared(run: Run) -> bool:
    """Whether it is measured how far the run's proxy agrees with its student."""
    return run.scorer is not None and reads_scores(run)


@dataclass(frozen=True)
class ImportedScores:
    """A file of scores that is imported: whose, of what, and the versions that it is compared with."""

    student: str
    dataset: str
    variant: str
    pairs: str
    beside: Mapping[str, tuple[str, str]]


# Versions that share a text with another: its instruction, or where responses are short the response.
SHARES_TEXT: dict[str, tuple[Variant, ...]] = {
    "original": (),
    "instruction": ("original",),
    "response": ("original",),
    "both": ("instruction",),
}


def imported_scores(config: Config) -> dict[str, ImportedScores]:
    """Path below the results folder: what is imported there."""
    found: dict[str, ImportedScores] = {}
    for student, by_dataset in config.given.scores.items():
        for dataset, given in by_dataset.items():
            names = {"dataset": dataset, "teacher": given.teacher, "student": student}
            pairs = {v: _pairs_pattern(v, "all").format(variant=v, **names) for v in given.files}
            scores = {v: scores_of(path).format(**names) for v, path in pairs.items()}
            for variant in given.files:
                beside: dict[str, tuple[str, str]] = {
                    v: (pairs[v], scores[v]) for v in SHARES_TEXT[variant] if v in given.files
                }
                found[scores[variant]] = ImportedScores(student, dataset, variant, pairs[variant], beside)
    return found


def coherence_paths(run: Run, responses: str) -> dict[str, str]:
    """variant: path of the coherence file, for runs whose method reads it."""
    if not run.chosen_by.reads_coherence:
        return {}
    patterns = {v: coherence_of(_pairs_pattern(v, responses)) for v in variants_read(run)}
    return {v: pattern.format(variant=v, **run.model_dump()) for v, pattern in patterns.items()}


def opponents_of(run: Run, opponents: Sequence[str]) -> list[str]:
    """The runs that a trained run is judged against, itself left out; an untuned model is judged against none."""
    return [] if run.is_untuned else [name for name in opponents if name != run.run]


def planned(config: Config, run: Run) -> list[Planned]:
    """The evaluations of a run; a profile, and a comparison on one set of questions, is one each."""
    if not run.is_evaluated:
        return []
    found = [each for section in config.evaluate.sections() for each in section.planned()]
    return [each for each in found if each.opponent is None or opponents_of(run, [each.opponent])]


def benchmarks(config: Config, run: Run) -> list[str]:
    """The evaluations of a run by file name."""
    return [each.name for each in planned(config, run)]


def judged_here(config: Config, run: Run) -> list[Planned]:
    """The evaluations of a run whose judgments are not given."""
    return [each for each in planned(config, run) if each.name not in config.given.judgments.get(run.run, {})]


def answered(config: Config, run: Run, runs: Sequence[Run]) -> list[str]:
    """The sets of questions that a run's model answers: those of evaluations whose judgments are not given.

    They are its own evaluations, and those of other runs that are compared with it.
    """
    asked = {each.questions for each in judged_here(config, run)}
    for other in runs:
        asked |= {each.questions for each in judged_here(config, other) if each.opponent == run.run}
    return [name for name in config.evaluate.question_sets() if name in asked]


def answering(config: Config, runs: Sequence[Run]) -> dict[tuple[str, ...], list[str]]:
    """The runs by the sets of questions that their models answer, most of them first; who answers none is left out."""
    found: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        if sets := tuple(answered(config, run, runs)):
            found.setdefault(sets, []).append(run.run)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def artefacts(config: Config, runs: Sequence[Run]) -> list[str]:
    """Every file that the steps from prepare to evaluate leave below the results folder, but for models.

    Snakemake makes a missing file again only where it is asked for by name: what was made of it may be there still.
    A model is left out because it may have been deleted to save room (`execution.keep_models`), which must not train
    it again. A training that was killed is listed all the same, as what called for it is newer than the answers.
    """
    files = [path for run in runs for of_step in (_data, _selected, _evaluated) for path in of_step(config, run)]
    answers = [ANSWERS.format(run=run.run, questions=name) for run in runs for name in answered(config, run, runs)]
    judged = [CALIBRATION.format(judge=judge) for judge in calibrated(config)]
    return list(dict.fromkeys([*files, *answers, *map(meta_of, answers), *judged, *map(items_of, judged)]))


def _data(config: Config, run: Run) -> list[str]:
    """What a run reads, with the sidecars."""
    files = data_files(config, run)
    return [*files, *map(meta_of, files)]


def data_files(config: Config, run: Run) -> list[str]:
    """The pairs that a run reads and those that they are made from, their scores and coherence."""
    pairs, scores = pairs_paths(run, config.responses), scores_paths(run, config.responses)
    if not pairs:
        return []
    sources = {"original": ORIGINAL.format(**_names(run))}
    if "both" in pairs and run.dataset not in config.given.reflections.get(run.teacher or "", {}):
        sources["instruction"] = REFLECTED.format(variant="instruction", **_names(run))
    imported = imported_scores(config)
    compared = [path for scored in scores.values() for path in _compared(scored, imported)]
    coherence = coherence_paths(run, config.responses)
    return [*sources.values(), *pairs.values(), *scores.values(), *compared, *coherence.values()]


def _compared(scores: str, imported: Mapping[str, ImportedScores]) -> list[str]:
    """The pairs and scores that an imported file of scores is compared with, and what these are compared with."""
    beside = imported[scores].beside.values() if scores in imported else ()
    return [path for pairs, other in beside for path in (pairs, other, *_compared(other, imported))]


def _selected(config: Config, run: Run) -> list[str]:
    """What a run trains on and why, and what was computed for that choice."""
    if run.is_untuned:
        return []
    patterns = [TRAIN, LEDGER]
    patterns += [meta_of(TRAIN)] if run.is_imported else []
    patterns += [RESCORED, meta_of(RESCORED)] if is_rescored(config, run) else []
    patterns += [AGREEMENT] if is_compared(run) else []
    return [pattern.format(run=run.run) for pattern in patterns]


def _evaluated(config: Config, run: Run) -> list[str]:
    """A run's evaluations, with their values by question."""
    results = [EVALUATION.format(run=run.run, benchmark=benchmark) for benchmark in benchmarks(config, run)]
    return [*results, *map(items_of, results)]


def calibrated(config: Config) -> list[str]:
    """The names of the judges that are calibrated: those that are asked in one of their forms."""
    if config.evaluate.calibration is None:
        return []
    return [judge_name(file) for file, forms in config.evaluate.judges().items() if forms]
