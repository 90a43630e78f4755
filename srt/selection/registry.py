"""The names of the methods, and what each of them reads: all that a run table and a config need to know."""

from __future__ import annotations

from typing import Literal, get_args

Method = Literal[
    "none",
    "original",
    "instruction",
    "response",
    "both",
    "paper",
    "released",
    "random",
    "length",
    "ifd",
    "r_ifd",
    "perplexity",
    "coherence",
    "given",
]
METHODS: tuple[str, ...] = get_args(Method)
SELECTING = tuple(name for name in METHODS if name not in ("none", "given"))
FIXED_METHODS = ("original", "instruction", "response", "both")


def variants_of(method: str) -> tuple[str, ...]:
    """The variants that a method of selection reads: of a fixed one its own; two phases can choose any of four."""
    return (method,) if method in FIXED_METHODS else FIXED_METHODS


# What chooses at random, so that what a method gains can be told from what any choice would.
CONTROLS = ("random", "length")
# Under the plan `selected` only the winners by IFD have a reflected response.
SELECTED_METHODS = ("none", "original", "instruction", "paper", "released", "ifd")
# A control draws as many records as another method keeps, and its scores matter through that method's decisions.
REFERENCE = {"length": "released"}
# What only some methods read, by the names of the settings and of the arguments of `srt selection`.
_FILTER = frozenset({"ifd_below", "r_ifd_below"})
_READ_BY = {
    "paper": _FILTER,
    "released": _FILTER,
    "random": frozenset({"seed"}),
    "length": frozenset({"seed"}),
    "perplexity": frozenset({"perplexity_prefers"}),
    "coherence": frozenset({"coherence"}),
}


def uses(method: str) -> frozenset[str]:
    """The names of the settings that a method of selection reads; a value of any other one has no effect.

    They are `ratio`, `seed`, `coherence` (the files) and fields of `SelectionConfig`. No method reads `proxy_sample`:
    it belongs to the comparison of a proxy with its student (`srt agreement`).
    """
    if method not in SELECTING:
        return frozenset()
    reference = uses(REFERENCE[method]) if method in REFERENCE else frozenset()
    return frozenset({"ratio"}) | _READ_BY.get(method, frozenset()) | reference
