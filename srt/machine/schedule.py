"""Schedule: how many cores and cards a job gets, so that a machine is used whole without further flags.

The rules hand the answers to Snakemake as `threads:` and `resources:`, of which a change reruns nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from srt.settings import ExecutionConfig

GPU = "gpu"  # the resource that Snakemake counts cards by
ENDPOINT = "endpoint_"  # and jobs that ask an endpoint, behind which its name stands
MEMORY = "mem_mb"  # by which jobs are counted that can be many at a time and hold a data set in memory
LIGHT_MB = 4000  # a data set: 2,137 MB were measured for the selection from 70,000 records in four versions
CLUSTER_CORES = 8  # asked of a cluster, whose machines nobody looked at: for each GPU, or for a model without one


@dataclass(frozen=True)
class Schedule:
    """What jobs share: cores, GPUs, and endpoints of which each is asked by one job at a time.

    `gpus` is 0 where models run on the CPU. On a cluster neither number is known: jobs are given what they ask for.
    """

    cores: int
    gpus: int
    endpoints: int = 0
    on_cluster: bool = False

    def threads(self, gpus: int) -> int:
        """Cores of a job that runs a model on so many GPUs: its share of what endpoints and light jobs leave.

        Without GPUs it gets half of the cores, so that two run side by side: half of a small job is loading
        libraries, which takes one core.
        """
        if self.on_cluster:
            return CLUSTER_CORES * max(1, gpus)
        if not self.gpus:
            return max(1, (self.cores - self.endpoints) // 2)
        one = max(1, (self.cores - self.endpoints - 1) // self.gpus)
        return one * max(1, min(gpus, self.gpus))

    def shards(self, execution: ExecutionConfig) -> int:
        """In how many parts a file is scored: as many as there are scoring jobs' GPUs, where no number is given."""
        if execution.score_shards != "auto":
            return execution.score_shards
        return 1 if self.on_cluster else max(1, self.gpus // execution.score_gpus)


def side_by_side(gpus: int, visible: int) -> int:
    """How many jobs on so many GPUs run at a time, of those that are visible; 1 where none is, as on a laptop."""
    return max(1, visible // gpus)


def weight(priority: int, gpus: int) -> int:
    """A job's priority by its GPUs: one on all cards outweighs as many small ones.

    Snakemake starts the jobs whose priorities have the highest sum.
    """
    return priority * max(1, gpus)


def endpoint(name: str) -> str:
    """The resource of an endpoint by its teacher's or judge's name: one job at a time asks it, unless a user says more.

    So no more than `execution.concurrency` requests are on the wire to it.
    """
    return ENDPOINT + re.sub(r"\W", "_", name)


def remarks(total: int, visible: int, wanted: Mapping[str, int]) -> Iterator[str]:
    """What does not fit together: the total of GPUs, those that are visible, and what jobs want by key of `execution:`.

    None of it ends the workflow: a plan may be made where there are no GPUs.
    """
    if not visible:
        yield "no GPU is visible here: a plan can be made, but a job that runs a model will end at once"
    elif not total:
        yield f"{GPU}=0: {visible} GPUs are visible here, and jobs use them all the same: `device: cpu` uses none"
    elif total > visible:
        yield f"{GPU}={total}: {visible} GPUs are visible here: jobs beyond that wait until one is free"
    for key, count in wanted.items():
        if 0 < min(total, visible) < count:
            yield f"execution.{key}: {count}: expected at most {min(total, visible)}, the GPUs that there are for a job"
