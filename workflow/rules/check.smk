# The config and its run table, and everything that is wrong with them or with what they name: told before any job.
import logging
import sys
from pathlib import Path

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from srt.planning.check import examine, lines
from srt.planning.jobs import needed
from srt.storage.errors import InputError
from srt.storage.findings import lines_in, lines_of
from srt.storage.progress import one_line
from srt.storage.yaml_files import read_yaml


def stop(complaints):
    """Print a line for each complaint and end with exit code 2, where there are any."""
    told = [f"srt: {one_line(complaint)}" for complaint in complaints]
    if told:
        print(*told, sep="\n", file=sys.stderr)
        sys.exit(2)


def unread(file):
    """Why a config is not what it seems to be: Snakemake reads one in which a key stands twice, and takes the last."""
    try:
        read_yaml(Path(file))
    except InputError as error:
        return lines_in(error)
    return []


def examined(values, file):
    """A config, looked at; where that cannot be done, as a benchmark of another package is of no use, why is told."""
    try:
        return examine(values, file)
    except InputError as error:
        stop(lines_in(error))


class BeforeJobs(logging.Filter):
    """Looks at what the jobs need, once they are known and before the first one, in a dry run too.

    Snakemake has a hook for real runs only (`onstart`). Their statistics are logged at the right moment in both.
    """

    def filter(self, record):
        if getattr(record, "event", None) == LogEvent.RUN_INFO and not workflow.touch:
            jobs = workflow.dag.needrun_jobs()
            stop(
                lines_of(
                    needed(
                        EXAMINED,
                        ((job.rule.name, job.wildcards_dict or {}) for job in jobs),
                    )
                )
            )
        return True


logger.addFilter(BeforeJobs())
