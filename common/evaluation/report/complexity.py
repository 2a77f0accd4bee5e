"""What a prediction costs: weights, multiply-accumulates, memory and time."""

import math
from collections import Counter
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ...base.arrays import write_arrays
from ...base.files import checksum
from ...base.framework import layers, tf
from ...data.split import Split
from ...inference.runtime import AUTO, choose_runtime, fingerprint
from ...models.build import build_model
from ...models.descriptions import MODELS
from ..results import kept
from ..speed import describe_machine, measure_prediction
from .table import Table

FRAMES = 2  # a pass
PROGRAM = Path(__file__).parents[2]
TITLES = [model.title for model in MODELS.values()]


def multiply_accumulates(model: tf.keras.Model) -> Counter[str]:
    """Multiply-accumulates of one frame, from the Keras graph, by layer kind.

    `Conv2D` and `Conv2DTranspose`: each product of a kernel's weight with a value, those with the
    zeros of 'same' padding included; `Dense`: one per weight and use. A layer that the graph uses
    twice counts twice. Biases, normalisation, activations, pooling and scaling are left out.
    """
    counts: Counter[str] = Counter()
    # A layer itself also knows its uses in other models.
    for described in model.get_config()["layers"]:
        layer, uses = model.get_layer(described["name"]), len(described["inbound_nodes"])
        if isinstance(layer, layers.Dense):
            places = math.prod(layer.output_shape[1:-1])
        elif isinstance(layer, layers.Conv2D):  # which Keras's transposed one is, too
            # A kernel is placed at each position of what it makes, or, transposed, takes.
            transposed = isinstance(layer, layers.Conv2DTranspose)
            placed = layer.input_shape if transposed else layer.output_shape
            places = math.prod(placed[1:3])
        else:
            continue
        counts[type(layer).__name__] += uses * places * math.prod(layer.kernel.shape)
    return counts


def complexity(
    titles: Container[str] = TITLES, split: Split | None = None, cache: Path | None = None
) -> Table:
    """Measure the cost of a prediction on this machine, a row per model with one of the `titles`.

    Weights counts all in the file; multiply-accumulates only those of prediction, without E2E-LAT's
    JND frame. Peak memory (GB), frames/s and CPU seconds are measured in a separate process that
    predicts image files with random weights, and are the best of three passes. They are kept in
    `cache`, if given, until the machine, the runtime or this program changes. `split` is only
    mentioned in the caption.
    """
    choose_runtime(AUTO, "float32")  # prints its choice once
    names = [name for name, model in MODELS.items() if model.title in titles]
    with tqdm(names, "complexity", unit="model", disable=None, leave=False) as progress:
        rows = [_row(name, cache) for name in progress]
    return Table(
        "complexity",
        "Complexity",
        "Weights in the file; multiply-accumulates per frame by layer kind, from the graph of a "
        "prediction, zeros of padding included; from strings they are the head's alone, since "
        "entropy decoding has none; peak memory, frames per second and CPU seconds per "
        "frame, from image files to levels in float32, each model in a process of its own, on "
        f"{describe_machine()}." + (f" {split.caption}" if split else ""),
        pd.DataFrame(rows),
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
    """What a prediction of the model `name` costs."""
    model = build_model(MODELS[name])
    counts, head = map(multiply_accumulates, (model.predicting, model.head))
    seconds, cpu_seconds, memory = _spent(name, cache)
    return {
        "model": MODELS[name].title,
        "weights": model.whole.count_params(),
        "conv": counts["Conv2D"],
        "conv_transpose": counts["Conv2DTranspose"],
        "dense": counts["Dense"],
        "multiply_accumulates": sum(counts.values()),
        "from_strings": sum(head.values()) if MODELS[name].sees == "latent" else np.nan,
        "peak_memory_gb": memory,
        "frames_per_second": 1 / seconds,
        "cpu_seconds": cpu_seconds,
    }


def _spent(name: str, cache: Path | None) -> np.ndarray:
    """Seconds and CPU seconds per frame, and gigabytes, of predicting with the model `name`."""
    if cache:
        # By its newest file, the program; a slower or faster one is measured anew.
        newest = max(file.stat().st_mtime_ns for file in PROGRAM.rglob("*.py"))
        runtime = fingerprint(choose_runtime(AUTO, "float32"))
        of = checksum([f"{describe_machine()} {runtime} {newest}".encode()])[:32]
        path = cache / "costs" / f"{name}-{of}.npz"
        if stored := kept(path, "spent"):
            return stored[0]
    spent = np.array(measure_prediction(name, FRAMES, "float32"))
    if cache:
        write_arrays(path, {"spent": spent}, overwrite=True)
    return spent
