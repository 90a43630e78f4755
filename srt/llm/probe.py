"""Whether a model's loss on a record depends on that record alone, however the records lie in a batch.

Two questions are put to a model with three short records. On which tokens does a loss depend? Its gradient with respect
to the embedded tokens says so exactly: it is 0, and not nearly 0, where no path leads, and it is not 0 on a path whose
effect is far below rounding. And is a loss in the batch the record's loss alone? That finds positions that count on
over a boundary, and a head that is not the model's own. No list of architectures is kept.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple, TypeVar

LENGTHS = (6, 8, 9)  # tokens of the records; the middle one has neighbours on both sides


class Most(NamedTuple):
    """What rounding may change, as medians over tokens.

    Attributes:
        losses: of a loss, in standard deviations of the losses alone.
        weights: of a gradient's size, as a share of it alone.
    """

    losses: float
    weights: float


# Of 57 architectures rounding changed 0.0002 and 0.001 at most in float32, 0.01 and 0.006 in bfloat16; thirty trained
# layers in bfloat16 up to 0.1 of a weight. Chunks that are counted from the start of a row change 0.000004 and 0.2, a
# head that is not the model's 0.75 and 1.3. LOOSE is for padded rows, after which there is nothing left to try.
FLOAT32, COARSER, LOOSE = Most(0.002, 0.01), Most(0.05, 0.1), Most(0.1, 0.5)
FLOOR = 1e-5  # nats: what rounding makes of a sum over the vocabulary, where all words are about equally likely
NOISE = 0.02  # standard deviation given to weights that are all zero, as long as the probe lasts
NEAR = 5  # tokens of a chunk of chunked attention meanwhile, so that records reach over a chunk's end
NOT_FINITE = "the loss of a record alone is not finite"  # of which nothing can be judged
# What a model may raise that was not made for such a batch.
FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

Found = TypeVar("Found")
LogProbs = Callable[[list[list[int]]], Any]


class Place(NamedTuple):
    """Where a record lies in a batch: its row, and its first token there."""

    row: int
    start: int


class Seen(NamedTuple):
    """A record by itself: its tokens, a log-probability for each but the first, what the last of these depends on."""

    ids: list[int]
    log_probs: Any
    last: Any


def end_to_end(seen: Sequence[Seen]) -> list[Place]:
    """All records in one row."""
    return [Place(0, sum(len(one.ids) for one in seen[:index])) for index in range(len(seen))]


def row_by_row(seen: Sequence[Seen]) -> list[Place]:
    """A row for each record, padded on the right."""
    return [Place(row, 0) for row in range(len(seen))]


def alone(model: Any) -> list[Seen] | str:
    """A few short records, each by itself through the model's own head; or why they cannot be judged.

    Args:
        model: a causal language model with all its weights.
    """
    with _probed(model):
        return _tried(lambda: [_alone(model, ids) for ids in _records(model)])


def why_not_alone(
    model: Any, seen: list[Seen] | str, batch: LogProbs, places: Callable[[Sequence[Seen]], list[Place]], most: Most
) -> str | None:
    """Why the losses of records in a batch are not those of each record alone; None where they are.

    Args:
        model: the model, as `alone` has seen it.
        seen: what it made of each record, or why it could not.
        batch: log-probabilities of shape [rows, width - 1], token by token, of records as they lie in a batch.
        places: where they lie there.
        most: what rounding may change in the model's arithmetic.
    """
    if isinstance(seen, str):
        return seen

    def look() -> str | None:
        with _embedded(model) as embedded:
            log_probs = batch([one.ids for one in seen])
        found = []
        for place, one in zip(places(seen), seen, strict=True):
            _require_same_tokens(log_probs, embedded, place, one, most.weights)
            found.append(log_probs[place.row, place.start :][: len(one.ids) - 1])
        return _why_other_losses(found, [one.log_probs for one in seen], most.losses)

    with _probed(model):
        return _tried(look)


def why_padding_is_seen(model: Any) -> str | None:
    """Why a model's records depend on each other, or on the padding, in rows padded on the right without a mask."""
    import torch

    def batch(records: list[list[int]]) -> Any:
        ids = padded([array("i", record) for record in records])
        return next_token_log_probs(model(input_ids=ids.to(model.device), use_cache=False).logits, ids)

    most = FLOAT32 if model.dtype == torch.float32 else LOOSE
    return why_not_alone(model, alone(model), batch, row_by_row, most)


def padded(rows: Sequence[array[int]]) -> Any:
    """Ids of shape [rows, width], padded with 0 on the right, where causal attention never looks: no mask is needed."""
    import torch

    ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.frombuffer(row, dtype=torch.int32)
    return ids


def _tried(look: Callable[[], Found]) -> Found | str:
    """What a look at the model finds, or why it fails; out of memory is no such reason."""
    import torch

    try:
        return look()
    except _Otherwise as otherwise:
        return str(otherwise)
    except torch.OutOfMemoryError:
        raise
    except FAILURES as error:
        first = str(error).strip().partition("\n")[0]
        return f"it fails with {type(error).__name__}: {first}"


class _Otherwise(Exception):
    """A loss depends on other tokens than it should."""


def _records(model: Any) -> list[list[int]]:
    """Token ids from all over the vocabulary, without special tokens and without embeddings that are not finite."""
    weight, text = model.get_input_embeddings().weight, model.config.get_text_config()
    special: set[int | None] = set()
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        value = getattr(text, name, None)
        special |= set(value if isinstance(value, list) else [value])
    usable = [token for token in weight.isfinite().all(1).nonzero()[:, 0].tolist() if token not in special]
    needed = sum(LENGTHS)
    if not usable:
        raise _Otherwise("its embeddings are not finite")
    ids = islice(cycle(usable[:: max(1, len(usable) // needed)]), needed)
    return [list(islice(ids, length)) for length in LENGTHS]


def _alone(model: Any, ids: list[int]) -> Seen:
    """A record by itself, through the model's own head."""
    import torch

    with _embedded(model) as embedded:
        logits = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits
    log_probs = next_token_log_probs(logits, torch.tensor([ids]))
    if not log_probs.isfinite().all():
        raise _Otherwise(NOT_FINITE)
    half = len(ids) // 2
    _require_nothing_beyond(log_probs[0, :half].sum(), embedded, Place(0, 0), half, len(ids))
    return Seen(ids, log_probs[0].detach(), _depends_on(log_probs[0, -1], embedded)[0])


def next_token_log_probs(logits: Any, ids: Any) -> Any:
    """Log-probabilities [rows, width - 1] of every token but the first, from logits of shape [rows, width, words]."""
    wanted = ids[:, 1:, None].to(logits.device)
    return logits[:, :-1].float().log_softmax(-1).gather(-1, wanted)[..., 0]


def _require_same_tokens(log_probs: Any, embedded: list[Any], place: Place, one: Seen, most: float) -> None:
    """A record's first half depends on itself, its last token on what it depends on alone and as much; nothing else."""
    row, length = log_probs[place.row, place.start :], len(one.ids)
    _require_nothing_beyond(row[: length // 2].sum(), embedded, place, length // 2, length)
    last = _require_nothing_beyond(row[length - 2], embedded, place, length - 1, length)
    expected = one.last[: length - 1].to(last.device)
    if ((expected > 0) & (last == 0)).any():
        raise _Otherwise("a token does not see all tokens of its record that it sees alone")
    others = [position for position in range(length - 2) if expected[position] > 0]  # but the one that predicts it
    if others and not ((last - expected).abs() / expected)[others].median() <= most:
        raise _Otherwise("a token weighs the other tokens of its record in another way than alone")


def _require_nothing_beyond(loss: Any, embedded: list[Any], place: Place, tokens: int, length: int) -> Any:
    """How much a loss depends on each of the `tokens` from a place on; _Otherwise if on others, or on none."""
    depends = _depends_on(loss, embedded)
    own = depends[place.row, place.start :][:tokens].clone()
    if not own.any():
        raise _Otherwise("a loss cannot be seen to depend on any token")
    depends[place.row, place.start :][:tokens] = 0
    if depends[place.row, place.start :][:length].any():
        raise _Otherwise("a token sees later tokens of its record")
    if depends.any():
        raise _Otherwise("a token sees tokens outside of its record")
    return own


def _depends_on(loss: Any, embedded: list[Any]) -> Any:
    """The size of the loss's gradient for every embedded token, of shape [rows, width]."""
    import torch

    if not embedded:
        raise _Otherwise("it does not call its embeddings")
    gradients = torch.autograd.grad(loss, embedded, retain_graph=True, allow_unused=True, materialize_grads=True)
    return sum(gradient.float().abs().sum(-1) for gradient in gradients)


def _why_other_losses(found: Sequence[Any], expected: Sequence[Any], most: float) -> str | None:
    import torch

    one, other = torch.cat([part.detach().float() for part in found]), torch.cat(list(expected)).to(found[0].device)
    if (one - other).abs().median() <= most * other.std() + FLOOR:
        return None
    return f"the loss of records is {-float(one.mean()):.4f} where alone it is {-float(other.mean()):.4f}"


@contextlib.contextmanager
def _embedded(model: Any) -> Iterator[list[Any]]:
    """Collect the embedded tokens of a forward pass, to be asked for their gradients."""
    kept: list[Any] = []

    def keep(module: Any, inputs: Any, output: Any) -> Any:
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # a model may change it in place

    handle = model.get_input_embeddings().register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


@contextlib.contextmanager
def _probed(model: Any) -> Iterator[None]:
    """The model without dropout, with noise in tensors that are all zeros, and with near chunks; afterwards as it was.

    Through zeros (a fresh adapter, a fresh output projection) nothing flows until the training has moved them.
    """
    import torch

    text, training = model.config.get_text_config(), model.training
    chunk = getattr(text, "attention_chunk_size", None)
    with torch.no_grad():
        zeros = [weight for weight in model.parameters() if weight.is_floating_point() and not weight.any()]
        generator = torch.Generator().manual_seed(0)
        for weight in zeros:
            weight.copy_(NOISE * torch.randn(weight.shape, generator=generator))
    if chunk:
        text.attention_chunk_size = NEAR
    model.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            yield
    finally:
        model.train(training)
        if chunk:
            text.attention_chunk_size = chunk
        with torch.no_grad():
            for weight in zeros:
                weight.zero_()
