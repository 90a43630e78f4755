"""stub."""
import os
from typing import Any
def is_needed(execution): return execution.finetune_gpus * execution.finetune_nodes > 1 and "LOCAL_RANK" not in os.environ
def processes(execution): return int(os.environ.get("WORLD_SIZE", execution.finetune_gpus * execution.finetune_nodes))
def require_sharding(settings, checkpointing): pass
def device(execution): return "cpu"
