"""The version of each step: in a rule's parameters, so that another one reruns the step and what follows."""

# Raised by whoever changes what a step computes. tests/workflow/test_golden.py fails where that was forgotten;
# `python tests/golden.py --write` stores what a raised version writes.
STEP_VERSIONS = {
    "prepare": 2,
    "import": 1,
    "reflect": 3,
    "score": 2,
    "coherence": 2,
    "selection": 1,
    "finetune": 3,
    "generate": 3,
    "evaluate": 4,
    "report": 4,
}
