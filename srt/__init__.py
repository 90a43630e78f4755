"""Selective Reflection-Tuning (arXiv 2402.10110): a teacher rewrites, the student selects.

Public are the names in `__all__`, the subcommands of `srt`, and the files below the results folder. Every other name
may change with any version. docs/architecture.md says which package holds what.
"""

from srt.storage.errors import InputError

__all__ = ["InputError", "__version__"]
__version__ = "0.1.0"
