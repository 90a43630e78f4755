"""What the workflow's rules look up in a config with its run table: who computes, what a step reads, and its flags.

Nothing here needs Snakemake, a model or the network. Paths begin with the results folder; flags are quoted for a shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from srt.experiment import layout
from srt.experiment.judges import read_judge
from srt.experiment.runs import Run
from srt.settings import EXECUTION_FLAGS, Config, GenerateConfig, JudgeConfig, StudentConfig, flags
from srt.storage.sidecars import items_of, meta_of


@dataclass(frozen=True)
class Experiment:
    """A config with its run table."""

    config: Config
    runs: Sequence[Run]

    @cached_property
    def by_name(self) -> Mapping[str, Run]:
        """The runs by their names."""
        return {run.run: run for run in self.runs}

    def path(self, below: str) -> str:
        """A path below the results folder, as the rules name it."""
        return f"{self.config.results.rstrip('/')}/{below}"

    # --- Execution -----------------------------------------------------------------------------------------------

    def how(self, step: str) -> str:
        """The flags of how a step runs, which decide nothing of what it makes."""
        execution = flags.as_flags(self.config.execution, only=EXECUTION_FLAGS[step])
        return execution if step == "coherence" else f"{execution} {flags.flag('cache', self.config.cache)}"

    def servers(self) -> str:
        """Where teachers and judges listen, as flags; the keys themselves stay in the environment."""
        endpoints = self.config.execution.endpoints
        return assigned("endpoint", {name: server.as_flag() for name, server in endpoints.items()})

    def prices(self) -> str:
        """What teachers cost, as flags: USD per million tokens of prompt and completion, and the batch API's share."""
        prices = self.config.execution.prices
        return assigned("price", {name: f"{p.prompt},{p.completion},{p.batch}" for name, p in prices.items()})

    # --- Models --------------------------------------------------------------------------------------------------

    def student_flags(self, student: str) -> str:
        """`--model` and `--revision` of a named student."""
        return flags.as_flags(self.config.students[student], only=("model", "revision"))

    def embedding(self, student: str) -> str:
        """The model that embeds texts for the method `coherence`: the student unless another one is named."""
        return self.config.coherence.embedding or self.config.students[student].model

    def untuned(self, run: str) -> StudentConfig | None:
        """The student that a run evaluates as it is; None where the run trains one."""
        found = self.by_name[run]
        return self.config.students[found.student] if found.is_untuned else None

    def model(self, run: str) -> str:
        """The model folder or name that a run is evaluated with: what it trained, or its student untuned."""
        untuned = self.untuned(run)
        return untuned.model if untuned else self.path(layout.MODEL.format(run=run))

    def model_flags(self, run: str) -> str:
        """`--model` and `--revision` of a run's model; what a run trained has no revision."""
        untuned = self.untuned(run)
        return f"{flags.flag('model', self.model(run))} {flags.flag('revision', untuned and untuned.revision)}"

    def prompt(self, run: str) -> str:
        """The prompt of evaluation: a trained model's is that of its training, an untuned one's its student's own."""
        untuned, recipe = self.untuned(run), self.by_name[run].recipe
        if untuned:
            return untuned.prompt
        if recipe is None:
            raise ValueError(f"run {run!r} trains nothing, so that nobody asks its model")
        return self.config.recipes[recipe].prompt

    def teacher_models(self, teacher: str) -> list[str]:
        """The models that a teacher's job loads here: itself unless it is asked elsewhere, and whose tokens count."""
        found = self.config.teachers[teacher]
        asked = [] if found.backend == "openai" else [found.model]
        return [*asked, *([found.pair_tokenizer] if found.pair_tokenizer else [])]

    # --- Judges --------------------------------------------------------------------------------------------------

    @cached_property
    def judges(self) -> Mapping[str, JudgeConfig]:
        """The judges by their files."""
        return {file: read_judge(file) for file in self.config.evaluate.judges()}

    def judge_texts(self, file: str, forms: Collection[str]) -> list[str]:
        """A judge's file, and its prompts in these forms."""
        return [file, *(getattr(self.judges[file], form) for form in sorted(forms))]

    def judge_model(self, file: str) -> str | None:
        """The model that a judge's job serves; None for a judge that is asked elsewhere."""
        judge = self.judges[file]
        return judge.model if judge.serve else None

    # --- Data and selection --------------------------------------------------------------------------------------

    def unreflected(self, dataset: str, teacher: str, variant: str) -> str:
        """The pairs that a variant is made from: `both` reflects the response of the instruction-reflected ones."""
        pattern = layout.REFLECTED if variant == "both" else layout.ORIGINAL
        return self.path(pattern.format(dataset=dataset, teacher=teacher, variant="instruction"))

    def selection_files(self, run: str) -> list[str]:
        """What a run's method reads: pairs, scores, coherence."""
        return [self.path(path) for paths in self._choice(run).values() for path in paths.values()]

    def selection_flags(self, run: str) -> str:
        """The same as flags, with the method and those columns of the run table that it reads."""
        found = self.by_name[run]
        words = [self.below_results(name, paths) for name, paths in self._choice(run).items()]
        words.append(flags.as_flags(found, only=("method", *found.chosen_by.uses)))
        return " ".join(filter(None, words))

    def _choice(self, run: str) -> Mapping[str, Mapping[str, str]]:
        """Flag: {variant: path} of what a run's method reads."""
        found, responses = self.by_name[run], self.config.responses
        return {
            "pairs": layout.pairs_paths(found, responses),
            "scores": layout.scores_paths(found, responses),
            "coherence": layout.coherence_paths(found, responses),
        }

    def below_results(self, flag: str, paths: Mapping[str, str]) -> str:
        """{variant: path below the results folder} as repeated VARIANT=FILE flags."""
        return assigned(flag, {variant: self.path(path) for variant, path in paths.items()})

    def selection_settings(self, run: str, *reads: str) -> str:
        """The settings of the selection that the run's method, or the step itself (`reads`), reads, as flags."""
        return flags.as_flags(self.config.selection, only=[*self.by_name[run].chosen_by.uses, *reads])

    def selection_rest(self, run: str, *reads: str) -> str:
        """The rest of them, which decides nothing."""
        return flags.as_flags(self.config.selection, without=[*self.by_name[run].chosen_by.uses, *reads])

    def rescored(self, run: str) -> list[str]:
        """The scores that are computed again in float32 for the run, where that is asked for."""
        is_rescored = layout.is_rescored(self.config, self.by_name[run])
        return [self.path(layout.RESCORED.format(run=run))] if is_rescored else []

    def agreement(self, run: str) -> list[str]:
        """How far the run's proxy agrees with its student, where a proxy scores."""
        is_compared = layout.is_compared(self.by_name[run])
        return [self.path(layout.AGREEMENT.format(run=run))] if is_compared else []

    # --- Evaluation and report -----------------------------------------------------------------------------------

    def question_flags(self, sets: Sequence[str], run: str) -> str:
        """Sets of questions with the run's files of answers and how these are drawn; of the later sets what differs."""
        first, *others = map(self._drawn, sets)
        words = [self._asked(sets[0], run), flags.as_flags(first)]
        for name, decoding in zip(sets[1:], others, strict=True):
            changed = [(key, value) for key, value in decoding if value != getattr(first, key)]
            drawn = shlex.join(f"{key}={flags.flag_text(value)}" for key, value in changed)
            words.append(" ".join(filter(None, ["--also", self._asked(name, run), drawn])))
        return " ".join(words)

    def _asked(self, questions: str, run: str) -> str:
        """The source of a set of questions and the file of a run's answers to it."""
        answers = self.path(layout.ANSWERS.format(run=run, questions=questions))
        return shlex.join([self.config.questions[questions].source, answers])

    def _drawn(self, questions: str) -> GenerateConfig:
        return self.config.generate[self.config.questions[questions].decoding]

    def report_files(self) -> list[str]:
        """All that the tables and the report read."""
        files = {path for run in self.runs for path in self._reported(run)}
        files |= {layout.CALIBRATION.format(judge=judge) for judge in layout.calibrated(self.config)}
        return sorted(map(self.path, files))

    def _reported(self, run: Run) -> Iterator[str]:
        for benchmark in layout.benchmarks(self.config, run):
            result = layout.EVALUATION.format(run=run.run, benchmark=benchmark)
            yield from (result, items_of(result))
        for questions in layout.answered(self.config, run, self.runs):
            yield meta_of(layout.ANSWERS.format(run=run.run, questions=questions))
        yield from layout.pairs_paths(run, self.config.responses).values()
        yield from layout.scores_paths(run, self.config.responses).values()
        if not run.is_untuned:
            yield from (layout.TRAIN.format(run=run.run), layout.LEDGER.format(run=run.run))


def assigned(flag: str, values: Mapping[str, str]) -> str:
    """{key: value} as repeated `--flag KEY=VALUE`."""
    return " ".join(flags.flag(flag, f"{key}={value}") for key, value in values.items())
