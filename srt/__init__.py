"""Selective Reflection-Tuning (arXiv 2402.10110): a teacher rewrites, the student selects."""

__version__ = "0.1.0"
