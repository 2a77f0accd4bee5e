"""Comparison of this project's speed and memory with plain Keras's in one run."""

import contextlib
import io
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.base.constants import LEVELS
from common.base.device import choose_device, use_precision
from common.base.framework import tf
from common.commands.main import main
from common.data.split import LEVELS_FILE
from common.evaluation.speed import (
    describe_processor,
    make_noise,
    measure_prediction,
    run_in_own_process,
    time_fastest,
    write_noise,
)
from common.inference.runtime import AUTO, choose_runtime
from common.models.backbone import build_backbone
from common.models.build import JND_FRAME, build_model
from common.models.descriptions import MODELS
from common.models.weights import write_weights
from common.training.predictor import FRAME_WEIGHT, LEVEL_WEIGHT

_CROP = 256  # stage 1's default
# Epochs must not be too short, since writing an epoch's files takes a constant time.
_FRAMES = {"predict": 16, "backbone": 64, "latent": 128, "reconstruction": 8}


class Speed(NamedTuple):
    """The speed and the peak memory of a process."""

    frames_per_second: float
    gigabytes: float


def compare(
    command: str, models: list[str], frames: int | None, precision: str
) -> list[dict[str, Any]]:
    """Measure this project and Keras; print a line per model, and return the table's rows."""
    if command == "predict":
        precision = choose_runtime(AUTO, precision).precision
    else:
        _, precision = choose_device(precision)
    keras_precisions = list(dict.fromkeys(("float32", precision)))
    load = os.getloadavg()[0]
    busy = f"; the machine is busy: load average {load:.1f}" if load > 0.5 else ""
    print(f"{describe_processor()}; ours: {precision}{busy}")
    heads = "".join(f"   Keras {each:8} frames/s   GB  ratio" for each in keras_precisions)
    print(f"model    frames   ours frames/s   GB{heads}")
    rows = []
    for name in models:
        count = frames or _FRAMES.get(command) or _FRAMES[MODELS[name].sees]
        ours = _measure_ours(command, name, count, precision)
        row = {"command": command, "model": name, "frames": count}
        row |= {"processor": describe_processor(), "precision": precision, **ours._asdict()}
        line = f"{name:7}  {count:6} {ours.frames_per_second:15.2f} {ours.gigabytes:4.1f}"
        for each in keras_precisions:
            keras = Speed(*run_in_own_process(KERAS[command], name, count, each))
            ratio = ours.frames_per_second / keras.frames_per_second
            line += f"{keras.frames_per_second:26.2f} {keras.gigabytes:4.1f} {ratio:6.2f}"
            row |= {f"keras_{each}_{what}": value for what, value in keras._asdict().items()}
            row[f"keras_{each}_times_as_fast"] = ratio
        print(line, flush=True)
        rows.append(row)
    return rows


def _measure_ours(command: str, name: str, count: int, precision: str) -> Speed:
    if command == "predict":
        cost = measure_prediction(name, count, precision)
        return Speed(1 / cost.seconds, cost.gigabytes)
    train = _train_backbone if command == "backbone" else _train_model
    return Speed(*run_in_own_process(train, name, count, precision))


def _train_model(name: str, count: int, precision: str) -> float:
    """Measure the frames/s of a model's train command, in the fastest epoch after the first."""
    description, level = MODELS[name], LEVELS[0]
    _write_splits(count)
    for split, frames in (("train", count), ("valid", 1)):
        Path(split, LEVELS_FILE).write_text("27 31 35\n" * frames)
        Path(f"{level.lower()}{split}").symlink_to(split)
    for file in description.backbone_files(level):
        write_weights(build_backbone().whole, Path(file))
    options = f"train --checkpoint_path . --csv_log_path . --{description.backbone_option} ."
    options += f" --data_dir . --epochs 3 --precision {precision} --jnd_value {level}"
    return count / _time_epoch(lambda: main(name, options.split()))


def _train_backbone(name: str, count: int, precision: str) -> float:
    """Measure the frames/s of stage 1's train command, in the fastest epoch after the first."""
    _write_splits(count)
    options = f"train --target {name} --checkpoint_path . --csv_log_path . --data_dir . --epochs 3"
    options += f" --precision {precision}"
    return count / _time_epoch(lambda: main("backbone", options.split()))


def _write_splits(count: int) -> None:
    """Write train/ and valid/ to a new folder, and make it the working directory."""
    os.chdir(tempfile.mkdtemp())
    write_noise(Path("train"), count)
    write_noise(Path("valid"), 1)


class _EpochClock(io.StringIO):
    """A stdout that notes when a line about an epoch is printed."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def write(self, text: str) -> int:
        if text.startswith("epoch"):
            self.ends.append(time.perf_counter())
        return super().write(text)


def _time_epoch(train: Callable[[], object]) -> float:
    """Time the fastest epoch after the first, which compiles."""
    with contextlib.redirect_stdout(_EpochClock()) as clock:
        train()
    return min(end - start for start, end in itertools.pairwise(clock.ends))


def predict_with_keras(name: str, count: int, precision: str) -> float:
    """Measure the frames/s of Keras from frames in memory to levels, in the fastest pass."""
    use_precision(precision)
    model = build_model(MODELS[name]).whole
    frames = make_noise(count).astype("float32")
    return count / time_fastest(lambda: model.predict(frames, batch_size=8, verbose=0))[0]


def _train_with_keras(name: str, count: int, precision: str) -> float:
    """Measure the frames/s of Keras's `fit` of a model, in the fastest epoch after the first."""
    use_precision(precision)
    model = build_model(MODELS[name]).whole
    frames = make_noise(count).astype("float32")
    of_frame = frames, "mse", FRAME_WEIGHT
    of_level = frames[:, 0, 0, :1] / 8, "mae", LEVEL_WEIGHT
    of_outputs = [of_frame if each == JND_FRAME else of_level for each in model.output_names]
    targets, losses, weights = map(list, zip(*of_outputs))
    model.compile(tf.keras.optimizers.Adam(1e-5), losses, loss_weights=weights)
    return count / _time_fit(model, frames, targets)


def _train_backbone_with_keras(name: str, count: int, precision: str) -> float:
    """Measure the frames/s of Keras's `fit` of the autoencoder, in the same way."""
    use_precision(precision)
    model = build_backbone((_CROP, _CROP, 3)).whole
    model.compile(tf.keras.optimizers.Adam(1e-4), "mse")
    crops = make_noise(count)[:, :_CROP, :_CROP].astype("float32")
    return count / _time_fit(model, crops, crops)


def _time_fit(model: tf.keras.Model, frames: np.ndarray, targets: object) -> float:
    callback = tf.keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: print("epoch"))
    how: dict[str, Any] = {"batch_size": 8, "epochs": 3, "verbose": 0, "callbacks": [callback]}
    return _time_epoch(lambda: model.fit(frames, targets, **how))


KERAS = {
    "predict": predict_with_keras,
    "train": _train_with_keras,
    "backbone": _train_backbone_with_keras,
}
