"""What a prediction costs: weights, multiply-accumulates, memory and time."""

from __future__ import annotations

import math
from collections import Counter

import pandas as pd
import tensorflow as tf
from tensorflow.keras import layers
from tqdm import tqdm

from common.evaluation.speed import in_own_process, prediction_speed
from common.models.build import build_model
from common.models.descriptions import MODELS

# A pass: few, since a second run of a whole report spends its time here.
FRAMES = 2


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
        kind = type(layer)
        if kind is layers.Dense:
            places = math.prod(layer.output_shape[1:-1])
        elif kind in (layers.Conv2D, layers.Conv2DTranspose):
            # A kernel is placed at each position of what it makes, or, transposed, takes.
            placed = layer.output_shape if kind is layers.Conv2D else layer.input_shape
            places = math.prod(placed[1:3])
        else:
            continue
        counts[kind.__name__] += uses * places * math.prod(layer.kernel.shape)
    return counts


def measure_complexity(names: list[str]) -> pd.DataFrame:
    """Of each model (keys of MODELS) a row: weights, multiply-accumulates, memory, frames/s.

    Weights are all in the file; multiply-accumulates those of predicting, which does without the
    JND frame of E2E-LAT. Peak memory (GB) and frames/s are those of a process of its own that
    predicts image files with random weights, the fastest of three passes.
    """
    rows = []
    for name in tqdm(names, "complexity", unit="model", disable=None, leave=False):
        model = build_model(MODELS[name])
        counts = multiply_accumulates(model.predicting)
        speed, memory = in_own_process(prediction_speed, name, FRAMES, "float32")
        rows.append(
            {
                "model": MODELS[name].title,
                "weights": model.whole.count_params(),
                "conv": counts["Conv2D"],
                "conv_transpose": counts["Conv2DTranspose"],
                "dense": counts["Dense"],
                "multiply_accumulates": sum(counts.values()),
                "peak_memory_gb": memory,
                "frames_per_second": speed,
            }
        )
    return pd.DataFrame(rows)
