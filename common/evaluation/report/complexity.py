"""The cost of a prediction: weights, multiply-accumulates, memory and time."""

import math
from collections import Counter
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...base.framework import layers, tf
from ...base.progress import Progress
from ...data.split import Split
from ...inference.runtime import AUTO, choose_runtime, fingerprint
from ...models.build import build_model
from ...models.descriptions import MODELS
from ..cache import cache_file, fetch
from ..speed import Cost, describe_machine, measure_prediction
from .table import Table

FRAMES = 2  # per pass
PROGRAM = Path(__file__).parents[2]
TITLES = [model.title for model in MODELS.values()]


def count_multiply_accumulates(model: "tf.keras.Model") -> Counter[str]:
    """Count the multiply-accumulates of one frame, from the Keras graph, by layer kind.

    `Conv2D` and `Conv2DTranspose` count each product of a kernel's weight with a value, including
    the zeros of 'same' padding; `Dense` counts one per weight and use. A layer that the graph uses
    twice counts twice. Biases, normalization, activations, pooling and scaling are left out.
    """
    counts: Counter[str] = Counter()
    # From the configuration, since a layer itself also lists its uses in other models.
    for config in model.get_config()["layers"]:
        layer, uses = model.get_layer(config["name"]), len(config["inbound_nodes"])
        if isinstance(layer, layers.Dense):
            positions = math.prod(layer.output_shape[1:-1])
        elif isinstance(layer, layers.Conv2D):  # also the base class of Conv2DTranspose
            # A kernel is applied at each position of the output or, transposed, of the input.
            transposed = isinstance(layer, layers.Conv2DTranspose)
            shape = layer.input_shape if transposed else layer.output_shape
            positions = math.prod(shape[1:3])
        else:
            continue
        counts[type(layer).__name__] += uses * positions * math.prod(layer.kernel.shape)
    return counts


def measure_complexity(
    titles: Container[str] = TITLES, split: Split | None = None, cache: Path | None = None
) -> Table:
    """Measure the cost of a prediction on this machine, with a row per model of the `titles`.

    Memory and times come from a separate process that predicts image files with random weights;
    times are the best of three passes. They are stored in `cache`, if given, until the machine,
    the runtime or this program changes. `split` is only mentioned in the caption.
    """
    choose_runtime(AUTO, "float32")  # reports its choice once
    names = [name for name, model in MODELS.items() if model.title in titles]
    caption = (
        "Weights: all in the file. Multiply-accumulates: per frame and layer kind, from the graph "
        "of a prediction (without E2E-LAT's JND frame), zeros of padding included; from strings, "
        "the head's alone, since entropy decoding has none. Peak memory, frames per second and CPU "
        "seconds per frame: from image files to levels in float32, each model in a separate "
        f"process, on {describe_machine()}."
    )
    return Table(
        "complexity",
        "Complexity",
        f"{caption} {split.caption}" if split else caption,
        pd.DataFrame([_row(name, cache) for name in Progress(names, "complexity", unit="model")]),
        {
            "Model": "{model}",
            "Weights": "{weights:,}",
            "Convolutions": "{conv:,}",
            "Transposed conv.": "{conv_transpose:,}",
            "Dense": "{dense:,}",
            "All": "{multiply_accumulates:,}",
            "From strings": "{from_strings:,.0f}",
            "Memory, GB": "{peak_memory_gb:.1f}",
            "Frames/s": "{frames_per_second:.2f}",
            "CPU s": "{cpu_seconds:.2f}",
        },
    )


def _row(name: str, cache: Path | None) -> dict[str, Any]:
    description, model = MODELS[name], build_model(MODELS[name])
    counts, head = map(count_multiply_accumulates, (model.predicting, model.head))
    cost = _measure_cost(name, cache)
    return {
        "model": description.title,
        "weights": model.whole.count_params(),
        "conv": counts["Conv2D"],
        "conv_transpose": counts["Conv2DTranspose"],
        "dense": counts["Dense"],
        "multiply_accumulates": counts.total(),
        "from_strings": head.total() if description.sees == "latent" else np.nan,
        "peak_memory_gb": cost.gigabytes,
        "frames_per_second": 1 / cost.seconds,
        "cpu_seconds": cost.cpu_seconds,
    }


def _measure_cost(name: str, cache: Path | None) -> Cost:
    if not cache:
        return measure_prediction(name, FRAMES, "float32")
    # The time of the newest file identifies the program, whose speed may change.
    newest = max(file.stat().st_mtime_ns for file in PROGRAM.rglob("*.py"))
    runtime = fingerprint(choose_runtime(AUTO, "float32"))
    file = cache_file(cache, "costs", name, describe_machine(), runtime, newest)
    cost = fetch(file, Cost._fields, lambda: measure_prediction(name, FRAMES, "float32"))
    return Cost(*map(float, cost))
