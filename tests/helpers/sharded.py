"""One process of a training that FSDP2 shards, on a CPU: `torchrun sharded.py JSON`.

accelerate knows FSDP for GPUs only, so its state is told that this is one; everything after that is as on GPUs.
"""

import json
import os
import sys
from pathlib import Path

import accelerate.state
import yaml
from accelerate.utils import DistributedType

from srt.llm.model import ModelRef
from srt.settings import ExecutionConfig, FinetuneConfig
from srt.settings.job import Job
from srt.storage.shipped import locate
from srt.training import launch
from srt.training.finetune import finetune


def take_for_a_gpu():
    """Let accelerate's state take its branch for GPUs."""
    start = accelerate.state.AcceleratorState.__init__

    def started(self, *inputs, **more):
        if not accelerate.state.AcceleratorState._shared_state:
            accelerate.state.PartialState(cpu=True)
            accelerate.state.PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
        start(self, *inputs, **more)

    accelerate.state.AcceleratorState.__init__ = started


def set_as_the_launcher_does():
    """The shipped settings as the environment variables that `accelerate launch` makes of them."""
    settings = yaml.safe_load(locate(f"{launch.PROFILES}/fsdp2.yaml").read_text())["fsdp_config"]
    os.environ["ACCELERATE_USE_FSDP"] = "true"
    for name, value in settings.items():
        os.environ[name.upper()] = str(value).lower() if isinstance(value, bool) else str(value)


train, out, model, settings, execution, cache = json.loads(sys.argv[1])
take_for_a_gpu()
set_as_the_launcher_does()
recipe, how = FinetuneConfig.model_validate(settings), ExecutionConfig(**execution)
finetune(Path(train), ModelRef(model), 3, recipe, Job(Path(out), Path(cache), how))
