"""The methods of this package: the paper's, its ablations, and the project's own, one object each.

The facts are those of arXiv 2402.10110, sections 3.1, 3.2 and 6; of Cherry LLM, arXiv 2308.12032; and of the published
selector, which filters where the paper's text does not.
"""

from __future__ import annotations

from srt.selection.method import Coin, Filter, Limit, Method, Preference

HIGHER_IFD = Preference("ifd")
LOWER_R_IFD = Preference("r_ifd", "lower")
PERPLEXITY = Preference("perplexity", set_by="perplexity_prefers")
COHERENCE = Preference("coherence")
COIN = Coin()
# A value of 1 or more means that the condition does not help at all.
IFD_BELOW = Limit("ifd", "ifd_below")
BOTH_BELOW = (IFD_BELOW, Limit("r_ifd", "r_ifd_below"))
STUDENTS_CHOICE = (HIGHER_IFD, LOWER_R_IFD)  # the paper's two phases

SELECTIVE = Method("selective", phases=STUDENTS_CHOICE, filter=Filter(BOTH_BELOW, only_reflected=True), precedence=0)
METHODS = (
    Method("none", variants=(), chooses=False, trains=False),
    Method("original", variants=("original",), role="baseline"),
    Method("instruction", variants=("instruction",)),
    Method("response", variants=("response",)),
    Method("both", variants=("both",)),
    SELECTIVE,
    Method("selective_unfiltered", phases=STUDENTS_CHOICE, filter=Filter(only_reflected=True), precedence=1),
    Method("all_outcomes", phases=STUDENTS_CHOICE, filter=Filter(BOTH_BELOW), precedence=2),
    Method("random", phases=(COIN, COIN), role="control"),
    Method("length", matches=SELECTIVE, role="control"),
    Method("ifd", phases=(HIGHER_IFD, HIGHER_IFD)),
    Method("r_ifd", phases=(LOWER_R_IFD, LOWER_R_IFD)),
    Method("perplexity", phases=(PERPLEXITY, PERPLEXITY)),
    Method("coherence", phases=(COHERENCE, COHERENCE)),
    Method("cherry", variants=("original",), filter=Filter((IFD_BELOW,))),
    Method("given", chooses=False),
)
