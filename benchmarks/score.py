"""The scorer beside the naive one: one sequence, one forward, float32, the whole vocabulary, as published.

Both score the same records in one run, each in a process of its own, in turn; the model's loading and a first batch
are not counted. Prints tokens/s, records/s, the ratio, peak memory, and the share of the machine's own matrix-product
rate (measured in the same process and dtype) that the useful arithmetic reaches. The last line is a JSON object.

    python benchmarks/score.py --model models/smollm2-135m-instruct
    python benchmarks/score.py --model models/smollm2-135m-instruct --shape 7b --device cuda --dtypes bfloat16
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from common import child, records_file

from srt.experiment.config import load
from srt.llm import loading
from srt.llm.model import ModelRef
from srt.llm.prompts import guess_prompt, student_template
from srt.prepare.sources import read_pairs
from srt.scoring.nll import Scorer
from srt.scoring.score import score
from srt.scoring.sequences import Sequencer, Target
from srt.settings.job import Job
from srt.storage.files import write_records
from srt.storage.records import Pair

# Layers, hidden, intermediate, heads: Llama 2's shapes with random weights; `tiny` for the memory of the data alone.
SHAPES = {"tiny": (2, 64, 128, 2), "7b": (32, 4096, 11008, 32), "13b": (40, 5120, 13824, 40)}


def build(args: argparse.Namespace, dtype: str) -> Any:
    """The model folder's model, or one of a named shape with random weights."""
    import torch

    if not args.shape:
        return loading.load_model(args.model, None, dtype, args.device)
    from transformers import LlamaConfig, LlamaForCausalLM

    layers, hidden, intermediate, heads = SHAPES[args.shape]
    vocabulary = len(loading.load_tokenizer(args.model, None))
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=4096,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    with torch.device(args.device):
        model = LlamaForCausalLM(config).eval()
    torch.set_default_dtype(before)
    return model


def naive_nlls(model: Any, targets: Sequence[Target]) -> Iterator[float]:
    """The reference, one sequence at a time."""
    import torch

    with torch.inference_mode():
        for target in targets:
            ids = torch.tensor([target.ids.tolist()], device=model.device)
            labels = ids.clone()
            labels[:, : target.start] = -100
            yield float(model(ids, labels=labels).loss)


def synchronised() -> float:
    """The time, once the device has done what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and its result."""
    start = synchronised()
    result = call()
    return synchronised() - start, result


def matmul_rate(dtype: str, device: str) -> float:
    """FLOP/s of a square matrix product."""
    import torch

    side = 8192 if device == "cuda" else 1024
    a = torch.randn(side, side, device=device).to(getattr(torch, dtype))
    b = torch.randn(side, side, device=device).to(getattr(torch, dtype))
    for _ in range(3):
        a @ b
    best = math.inf
    for _ in range(5):
        best = min(best, timed(lambda: [a @ b for _ in range(10)])[0] / 10)
    return 2 * side**3 / best


def useful_flops(model: Any, targets: Sequence[Target]) -> float:
    """What the definition needs: every weight of the body for every token, the head for targets, causal attention."""
    import torch

    linears = [m for m in model.base_model.modules() if isinstance(m, torch.nn.Linear)]
    body = sum(linear.weight.numel() for linear in linears)
    head, config = model.get_output_embeddings().weight.numel(), model.config
    total = 0.0
    for target in targets:
        n = len(target.ids)
        total += 2 * body * n + 2 * head * target.tokens
        total += 2 * n * n * config.hidden_size * config.num_hidden_layers  # 4 n^2 h a layer, half of it masked
    return total


def targets_of(args: argparse.Namespace) -> list[Target]:
    """The different sequences of the records."""
    settings = load()[0].score
    template, guess = student_template(settings.template), guess_prompt(settings.guess_prompt)
    sequencer = Sequencer(loading.load_tokenizer(args.model, None), template, guess, settings.max_length)
    found = sequencer.all_targets(records(args))
    return list({t.key: t for of_pair in found for t in of_pair.values() if t.tokens}.values())


def records(args: argparse.Namespace) -> list[Pair]:
    """Records from all over the file."""
    pairs = read_pairs(args.data)
    return pairs[:: max(1, len(pairs) // args.records)][: args.records]


def measure(args: argparse.Namespace, mode: str) -> dict[str, Any]:
    """One mode in this process."""
    dtype = "float32" if mode == "naive" else mode
    targets = targets_of(args)
    model = build(args, args.naive_dtype if mode == "naive" else dtype)
    compile_s = 0.0
    if mode == "naive":
        list(naive_nlls(model, targets[:2]))
        seconds, nlls = timed(lambda: list(naive_nlls(model, targets)))
    else:
        scorer = Scorer(model, args.batch_tokens, compiling=not args.eager)
        compile_s = timed(scorer._compile)[0] if not args.eager else 0.0
        list(scorer.nlls(targets))  # every shape once: steady state
        seconds, batches = timed(lambda: list(scorer.nlls(targets)))
        by_key = {target.key: nll for batch in batches for target, nll in batch}
        nlls = [by_key[target.key] for target in targets]
    tokens = sum(len(target.ids) for target in targets)
    rate = matmul_rate(args.naive_dtype if mode == "naive" else dtype, args.device)
    return {
        "tokens_per_s": round(tokens / seconds, 1),
        "records_per_s": round(args.records / seconds, 3),
        "compile_s": round(compile_s, 1),
        "peak_gb": peak_gb(),
        "share_of_matmul": round(useful_flops(model, targets) / seconds / rate, 3),
        "matmul_gflops": round(rate / 1e9, 1),
        "nlls": nlls,
    }


def peak_gb() -> float:
    """Peak memory of this process: the GPU's where there is one."""
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e9, 3)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3)


def memory(args: argparse.Namespace, count: int) -> dict[str, Any]:
    """The whole step `score` on `count` records, the longest ones among them, with a tiny model."""
    pairs = sorted(read_pairs(args.data), key=lambda pair: -len(pair.output))[:count]
    config, _ = load()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        args.shape = "tiny"
        build(args, "float32").save_pretrained(folder / "model")
        loading.load_tokenizer(args.model, None).save_pretrained(folder / "model")
        write_records(folder / "pairs.jsonl", pairs)
        execution = config.execution.model_copy(
            update={"score_batch_tokens": args.batch_tokens, "score_compile": "off"}
        )
        job = Job(folder / "scores.jsonl", folder / "cache", execution)
        score(folder / "pairs.jsonl", ModelRef(str(folder / "model")), config.score, job)
    return {"records": len(pairs), "peak_gb": peak_gb()}


def main() -> None:
    """Print a line for each mode, and all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=records_file(), help="Alpaca-style records")
    parser.add_argument("--model", required=True, help="the student; with --shape, whose tokenizer is taken")
    parser.add_argument("--shape", choices=SHAPES, default=None, help="random weights of Llama 2's shape instead")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--records", type=int, default=40)
    parser.add_argument("--batch-tokens", type=int, default=load()[0].execution.score_batch_tokens)
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--eager", action="store_true", help="ours without compiling")
    parser.add_argument("--naive-dtype", default="float32", help="of the reference; published: float32")
    parser.add_argument("--memory", nargs=2, type=int, metavar="N", help="also the memory of N and of N records")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        kind, _, count = args.only.partition(":")
        print(json.dumps(memory(args, int(count)) if count else measure(args, kind)))
        return
    found = {mode: child(mode) for mode in ("naive", *args.dtypes)}
    reference = found["naive"].pop("nlls")
    print(f"naive: {found['naive']}", flush=True)
    for dtype in args.dtypes:
        nlls = found[dtype].pop("nlls")
        found[dtype]["ratio"] = round(found[dtype]["tokens_per_s"] / found["naive"]["tokens_per_s"], 2)
        found[dtype]["worst_difference"] = max(abs(a / b - 1) for a, b in zip(nlls, reference, strict=True))
        print(f"{dtype}: {found[dtype]}", flush=True)
    if args.memory:
        found["memory"] = {str(count): child(f"memory:{count}") for count in args.memory}
    print(json.dumps({"ratio": found[args.dtypes[0]]["ratio"], "batch_tokens": args.batch_tokens, **found}))


if __name__ == "__main__":
    main()
