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
    return Speed(*run_in_own_process(_train, name, count, precision))


def _train(name: str, count: int, precision: str) -> float:
    """Measure the frames/s of a train command, in the fastest epoch after the first."""
    write_data(name, count)
    return count / _time_epoch(lambda: train(name, precision))


def write_data(name: str, count: int, noise: Path | None = None) -> None:
    """Write what `train` needs to a new folder, and make it the working directory.

    Args:
        name: a model, or the target of a backbone.
        count: number of frames to train on.
        noise: folder of at least that many frames, to be linked; None: they are written.
    """
    os.chdir(tempfile.mkdtemp())
    for split, frames in (("train", count), ("valid", 1)):
        if noise:
            Path(split).mkdir()
            for path in sorted(noise.iterdir())[:frames]:
                Path(split, path.name).symlink_to(path)
        else:
            write_noise(Path(split), frames)
        Path(split, LEVELS_FILE).write_text("27 31 35\n" * frames)
        Path(f"{LEVELS[0].lower()}{split}").symlink_to(split)
    for file in MODELS[name].backbone_files(LEVELS[0]) if name in MODELS else ():
        write_weights(build_backbone().whole, Path(file))


def train(name: str, precision: str, batch_size: int = 8) -> None:
    """Train a model, or a backbone, for three epochs on what `write_data` wrote."""
    folder = tempfile.mkdtemp(dir=".")
    options = f"train --data_dir . --checkpoint_path {folder} --csv_log_path {folder} --epochs 3"
    options += f" --precision {precision} --batch_size {batch_size}"
    if name in MODELS:
        options += f" --{MODELS[name].backbone_option} . --jnd_value {LEVELS[0]}"
        main(name, options.split())
    else:
        main("backbone", f"{options} --target {name}".split())


class EpochClock(io.StringIO):
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
    with contextlib.redirect_stdout(EpochClock()) as clock:
        train()
    return min(end - start for start, end in itertools.pairwise(clock.ends))


def make_tensor(count: int, size: int | None = None) -> tf.Tensor:
    """Make frames of noise, float32 [count, 352, 640, 3] or cropped to `size`, in main memory.

    Keras would copy an array of NumPy to the GPU as a whole, and anew in every pass.
    """
    with tf.device("CPU:0"):
        return tf.constant(make_noise(count)[:, :size, :size].astype("float32"))


def predict_with_keras(name: str, count: int, precision: str) -> float:
    """Measure the frames/s of Keras from frames in memory to levels, in the fastest pass."""
    use_precision(precision)
    model, frames = build_model(MODELS[name]).whole, make_tensor(count)
    return count / time_fastest(lambda: model.predict(frames, batch_size=8, verbose=0))[0]


def _train_keras(name: str, count: int, precision: str) -> float:
    """Measure the frames/s of `train_with_keras`, in the fastest epoch after the first."""
    return count / _time_epoch(lambda: train_with_keras(name, count, precision))


def train_with_keras(name: str, count: int, precision: str, batch_size: int = 8) -> None:
    """Train the graph of `train` for three epochs by `fit`, a backbone's without entropy model."""
    use_precision(precision)
    frames = make_tensor(count, None if name in MODELS else _CROP)
    targets: Any = frames
    if name in MODELS:
        model = build_model(MODELS[name]).whole
        of_frame = frames, "mse", FRAME_WEIGHT
        of_level = frames.numpy()[:, 0, 0, :1] / 8, "mae", LEVEL_WEIGHT
        of_outputs = [of_frame if each == JND_FRAME else of_level for each in model.output_names]
        targets, losses, weights = map(list, zip(*of_outputs))
        model.compile(tf.keras.optimizers.Adam(1e-5), losses, loss_weights=weights)
    else:
        model = build_backbone((_CROP, _CROP, 3)).whole
        model.compile(tf.keras.optimizers.Adam(1e-4), "mse")
    callback = tf.keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: print("epoch"))
    how: dict[str, Any] = {"epochs": 3, "verbose": 0, "callbacks": [callback]}
    model.fit(frames, targets, batch_size=batch_size, **how)


KERAS = {"predict": predict_with_keras, "train": _train_keras, "backbone": _train_keras}
