"""The subcommands: the arguments of each step, and the call of its function."""

from srt.commands.results import demo_model, evaluate, explain, plan, report
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
    finetune,
    generate,
    evaluate,
    report,
    plan,
    explain,
    demo_model,
)
