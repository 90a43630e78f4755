"""The subcommands: the arguments of each step, and the call of its function."""

from srt.commands.evaluate import evaluate
from srt.commands.imports import import_
from srt.commands.results import demo_model, doctor, explain, plan, report
from srt.commands.steps import (
    agreement,
    coherence,
    finetune,
    gather,
    generate,
    prepare,
    reflect,
    rescore,
    score,
    selection,
)

ALL = (
    prepare,
    reflect,
    score,
    gather,
    coherence,
    agreement,
    rescore,
    selection,
    import_,
    finetune,
    generate,
    evaluate,
    report,
    plan,
    explain,
    demo_model,
    doctor,
)
