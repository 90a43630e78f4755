"""Reflection: the teacher rewrites the instruction, then the response; its answers are read, cleaned and counted."""
