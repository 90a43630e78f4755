"""What finetuning writes beside the weights about how they were made, and that it is no part of the model."""

from __future__ import annotations

from pathlib import Path

from srt.storage.errors import InputError
from srt.storage.readers import read_json

RECORD = "srt_finetune.json"
CURVE = ("loss_curve.pdf", "loss_curve.png")
# Since format 2 a model is known without its record and curve. Answers of an older one lie under all of its files.
FORMAT = 2


def accounts_of(folder: Path) -> frozenset[str]:
    """The files of a model folder that tell how it was trained, and not what it answers.

    Empty where the record names no format: that folder is known by all of its files, in journals too.
    """
    path = folder / RECORD
    try:
        record = read_json(path) if path.is_file() else None
    except InputError:
        return frozenset()
    told = isinstance(record, dict) and "format" in record
    return frozenset((RECORD, *CURVE)) if told else frozenset()
