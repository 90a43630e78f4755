"""What a training takes of the disk and of time, before it starts: arithmetic on the shapes of `memory`."""

from __future__ import annotations

import math

from srt.settings import FinetuneConfig
from srt.training.memory import BYTES, GB, MOMENT_8BIT, Shape, trained_parameters


def checkpoint_gb(shape: Shape, settings: FinetuneConfig) -> float:
    """A checkpoint on the disk: trained weights and both moments."""
    moments = 2 * (BYTES[settings.weights] if settings.optimizer == "adamw" else MOMENT_8BIT)
    return trained_parameters(shape, settings) * (BYTES[settings.weights] + moments) / GB


def model_gb(shape: Shape, settings: FinetuneConfig) -> float:
    """The finished model on the disk, with its adapter where it has one."""
    adapter = 0 if settings.adapter == "none" else BYTES[settings.weights] * trained_parameters(shape, settings)
    return (BYTES[settings.dtype] * shape.parameters + adapter) / GB


def hours(
    shape: Shape, settings: FinetuneConfig, tokens: float, length: float, checkpointing: bool, tflops: float
) -> float:
    """Hours of training on `tokens` tokens in records of about `length`, at `tflops` TFLOP/s over all devices.

    Two operations a weight and token forward, two backward for the activations, two for the weights' gradients (none
    below an adapter), and one more forward pass where activations are computed twice.
    """
    passes = (2 if settings.adapter == "none" else 1) + 1 + checkpointing
    attention = 2 * shape.layers * shape.hidden * length  # a token against half of its record, scores and values
    return math.prod((passes, 2 * shape.parameters + attention, tokens)) / (tflops * 1e12) / 3600
