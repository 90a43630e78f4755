# The config and its run table, and everything that is wrong with them or with what they name: told before any job.
import logging
import sys

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from srt.checks.finding import lines_of
from srt.checks.jobs import needed
from srt.checks.whole import examine, lines

CONFIG_FILE = str(workflow.configfiles[-1]) if workflow.configfiles else "--config"
EXAMINED = examine(config, CONFIG_FILE)


def stop(complaints):
    """Print a line for each complaint and end with exit code 2, where there are any."""
    for complaint in complaints:
        print(f"srt: {complaint}", file=sys.stderr)
    if complaints:
        sys.exit(2)


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


stop(lines(EXAMINED) if EXAMINED.findings else [])
logger.addFilter(BeforeJobs())
CONFIG, RUN_TABLE = EXAMINED.config, EXAMINED.runs
