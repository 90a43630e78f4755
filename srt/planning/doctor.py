"""Doctor's table: what this machine has and lacks for a run, and what to do about it (`srt doctor`)."""

from __future__ import annotations

from collections.abc import Sequence

from srt.machine.health import WRONG, Finding


def told(findings: Sequence[Finding]) -> str:
    """The findings as a table, and one line that sums them up."""
    from tabulate import tabulate

    rows = [(finding.state, finding.what, finding.found, finding.do) for finding in findings]
    table = tabulate(
        rows, headers=("", "what", "found", "what to do"), disable_numparse=True, maxcolwidths=[6, 20, 48, 56]
    )
    wrong = [finding.what for finding in findings if finding.state == WRONG]
    verdict = f"Wrong: {', '.join(wrong)}." if wrong else "Nothing is wrong; `-` marks what is absent."
    return f"{table}\n\n{verdict}"
