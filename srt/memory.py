"""stub."""
from typing import NamedTuple
class C(NamedTuple):
    checkpointing: bool
    def told(self, limit): return ""
def shape_of(*a): return None
def limit_gb(*a): return None
def choose(shape, settings, *a): return C(settings.gradient_checkpointing == "on")
