"""Finetuning beside TRL's defaults: padded batches in random order, as `SFTTrainer` makes them.

Both train on the same tokenised records, in the same steps, dtype, optimizer and learning rate, without gradient
checkpointing, each in a process of its own, in turn. The first step is not counted. Prints response tokens/s, the
losses of all steps, the ratio, peak memory beside the estimate of `srt plan`, and the arithmetic kept up
(`execution.card_tflops`). The last line is a JSON object.

    python benchmarks/finetune.py --model models/smollm2-135m-instruct
    python benchmarks/finetune.py --model meta-llama/Llama-2-7b-hf --shape 7b --device cuda --weights bfloat16 \
        --dtype bfloat16 --records 512 --per-step 128 --device-batch 4 --max-length 2048
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from common import child, records_file
from score import SHAPES, peak_gb

from srt.experiment.config import load
from srt.llm import loading
from srt.prepare.sources import read_pairs
from srt.settings import ExecutionConfig, FinetuneConfig
from srt.training import attention, memory
from srt.training.batches import StepSampler, plan
from srt.training.examples import Examples, load_tokenizer, tokenize
from srt.training.trainer import load_weights, make_trainer, training_arguments


def settings_of(args: argparse.Namespace, mode: str) -> tuple[FinetuneConfig, ExecutionConfig]:
    """The demo's recipe with the benchmark's values."""
    config, _ = load()
    changed = {
        "max_steps": None,
        "epochs": 1.0,
        "global_batch": args.per_step,
        "max_length": args.max_length,
        "dtype": args.dtype,
        "weights": args.weights,
        "batches": "padded" if mode == "trl" else mode,
        "gradient_checkpointing": "off",
    }
    recipe = FinetuneConfig(**{**next(iter(config.recipes.values())).model_dump(), **changed})
    how = config.execution.model_copy(update={"device": args.device, "save_steps": 10**6})
    return recipe, how


def examples_of(args: argparse.Namespace, tokenizer: Any, recipe: FinetuneConfig) -> Examples:
    """Records from all over the file."""
    pairs = read_pairs(args.data)
    return tokenize(pairs[:: max(1, len(pairs) // args.records)][: args.records], tokenizer, recipe, str(args.data))


def build(args: argparse.Namespace, recipe: FinetuneConfig) -> Any:
    """The model folder's model, or one of a named shape with random weights."""
    if not args.shape:
        return load_weights(args.model, None, recipe)
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    layers, hidden, intermediate, heads = SHAPES[args.shape]
    config = LlamaConfig(
        vocab_size=len(loading.load_tokenizer(args.model, None)),
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=4096,
    )
    name = attention.implementation(config, recipe.batches)
    with torch.device(args.device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, args.weights), attn_implementation=name)


def trl_trainer(model: Any, tokenizer: Any, examples: Examples, arguments: Any, sampler: StepSampler) -> Any:
    """TRL as it comes, over the rows in our order, so that each step has the same records."""
    from datasets import Dataset
    from trl import SFTTrainer

    order = [row for step in range(sampler.batches.steps_per_epoch) for row in sampler.records(0, step)]
    arguments.train_sampling_strategy = "sequential"
    rows = Dataset.from_list([examples.rows[row] for row in order])
    return SFTTrainer(model, args=arguments, train_dataset=rows, processing_class=tokenizer)


def measure(args: argparse.Namespace, mode: str) -> dict[str, Any]:
    """One mode in this process."""
    from transformers import TrainerCallback

    recipe, how = settings_of(args, mode)
    tokenizer = load_tokenizer(args.model, None)
    examples = examples_of(args, tokenizer, recipe)
    batches = plan(len(examples.rows), recipe, args.device_batch, 1)
    sampler = StepSampler(examples.lengths, batches, recipe.batches, 0)
    times: list[tuple[float, float]] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if args.device == "cuda":
                import torch

                torch.cuda.synchronize()
            times.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(0, recipe, how, batches, Path(folder), checkpointing=False)
        arguments.save_strategy = "no"
        model = build(args, recipe)
        shape = memory.Shape.of_model(model)
        if mode == "trl":
            trainer = trl_trainer(model, tokenizer, examples, arguments, sampler)
        else:
            trainer = make_trainer(model, tokenizer, examples, arguments, recipe, batches)
        trainer.add_callback(Clock())
        trainer.train()
    counted = [row for step in range(1, batches.steps) for row in sampler.records(0, step)]
    response = sum(len([t for t in examples.rows[row]["labels"] if t != -100]) for row in counted)
    tokens = sum(examples.lengths[row] for row in counted)
    seconds, of_cpu = (times[-1][clock] - times[0][clock] for clock in (0, 1))
    longest = sum(sorted(examples.lengths)[-batches.device_batch :])
    return {
        "response_tokens_per_s": round(response / seconds, 2),
        "response_tokens_per_cpu_s": round(response / of_cpu, 2),  # where others work on the machine
        "tokens_per_s": round(tokens / seconds, 1),
        "tflops": round(6 * shape.parameters * tokens / seconds / 1e12, 3),
        "padded_share": round(1 - tokens / padded_tokens(sampler, recipe.batches), 3),
        "peak_gb": peak_gb(),
        "estimated_gb": round(memory.estimate(shape, recipe, 1, longest, checkpointing=False).gb, 2),
        "losses": [round(entry["loss"], 5) for entry in trainer.state.log_history if "loss" in entry],
    }


def padded_tokens(sampler: StepSampler, layout: str) -> int:
    """Positions that are computed in the counted steps of the first epoch."""
    total = 0
    for step in range(1, sampler.batches.steps):
        for batch in sampler.micro_batches(0, step):
            lengths = [sampler.lengths[row] for row in batch if row < len(sampler.lengths)] or [1]
            total += sum(lengths) if layout == "padding_free" else max(lengths) * len(batch)
    return total


def main() -> None:
    """Print a line for each mode, and all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=records_file(), help="Alpaca-style records")
    parser.add_argument("--model", required=True, help="the student; with --shape, whose tokenizer is taken")
    parser.add_argument("--shape", choices=SHAPES, default=None, help="random weights of Llama 2's shape instead")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--records", type=int, default=48)
    parser.add_argument("--per-step", type=int, default=16, help="records of an optimizer step")
    parser.add_argument("--device-batch", type=int, default=8, help="records of a micro-batch; 8 is TRL's default")
    parser.add_argument("--max-length", type=int, default=1024, help="most tokens of a record; 1024 is TRL's default")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--weights", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--modes", nargs="+", default=["padding_free"], help="ours: padding_free, grouped")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(args, args.only)))
        return
    found: dict[str, Any] = {}
    for mode in ("trl", *args.modes):
        found[mode] = child(mode)
        for ratio, speed in (("ratio", "response_tokens_per_s"), ("cpu_ratio", "response_tokens_per_cpu_s")):
            found[mode][ratio] = round(found[mode][speed] / found["trl"][speed], 3)
        pairs = zip(found[mode]["losses"], found["trl"]["losses"], strict=True)
        found[mode]["worst_loss_difference"] = round(max(abs(a - b) for a, b in pairs), 6)
        print(f"{mode}: {found[mode]}", flush=True)
    first = found[args.modes[0]]
    print(json.dumps({"ratio": first["ratio"], "cpu_ratio": first["cpu_ratio"], "records": args.records, **found}))


if __name__ == "__main__":
    main()
