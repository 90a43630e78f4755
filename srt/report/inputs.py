"""What the report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from srt.experiment.runs import Run


@dataclass(frozen=True)
class ReportInputs:
    """The results of an experiment, and what of them is compared.

    Attributes:
        results: folder of all artefacts.
        runs: the run table.
        responses: the plan of the response reflection, `all` or `selected`.
        opponents: runs that the others are compared with, pair by pair.
        questions: sets of questions of that comparison.
        compare: run: the reported model beside which it stands, by the reported rows' own names.
    """

    results: Path
    runs: Sequence[Run]
    responses: str
    opponents: Sequence[str]
    questions: Sequence[str]
    compare: Mapping[str, str]
