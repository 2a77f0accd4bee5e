"""How fast, in how much memory: this project beside plain Keras, measured in one run."""

import argparse
import contextlib
import io
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.base.errors import exit_on_error
from common.base.files import locked
from common.commands.options import Parser, add_options, bundled, path, positive
from common.models.descriptions import MODELS

if TYPE_CHECKING:
    import numpy as np

    from common.base.framework import tf

# An epoch ends with files to write, whatever its length: of 128 frames that is no small part.
_TRAINING_FRAMES = {"latent": 128, "reconstruction": 8}
_CROP = 256  # of stage 1, as its default is

COMMANDS = {
    "predict": (
        "frames/s and peak memory of predicting",
        "From image files to levels (this project, default batch) and from frames in\n"
        "memory to levels (Keras, Model.predict, batch 8).",
        "frames a pass, the fastest of three counts (default: 16)",
    ),
    "train": (
        "frames/s and peak memory of training",
        "An epoch after the first, of three, by the model's own train command with its files\n"
        "and by Keras (Model.fit of the same graph, frames in memory). Batch 8.",
        "frames per epoch, the fastest counts (default: 128; 8 if the model sees reconstructions)",
    ),
    "backbone": (
        "frames/s and peak memory of training a backbone",
        "An epoch after the first, of three, by common.reconstruct train with rate and distortion\n"
        "and by Keras (Model.fit of the autoencoder to its frames, in memory, without an entropy\n"
        f"model). Crops of {_CROP} pixels, batch 8.",
        "frames per epoch, the fastest counts (default: 64)",
    ),
}

# What is measured of pictures that encodes tell the levels of.
MEASUREMENTS = {
    "labels": (
        "label_searches",
        "CPU seconds of finding a frame's levels by encodes, as prepare photos does",
        "Several QPs of several frames at once, beside one encode at a time by bisection. Both\n"
        "find the same levels.",
    ),
    "decide": (
        "decisions",
        "CPU seconds and errors of predicting against searching by encodes",
        "Levels of frames and of clips: searched for by encodes, predicted, and predicted and\n"
        "tried once. Clips are pans over two pictures each.",
    ),
    "views": (
        "views",
        "errors of what a model may be shown of large pictures",
        "Right is where the whole picture, at its own size, falls below the thresholds.",
    ),
    "deliver": (
        "deliveries",
        "sizes of clips encoded at predicted levels",
        "Beside one constant QP of equal VMAF, and each scene's true level, found by encodes.\n"
        "Clips are pans over two pictures each.",
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure what `arguments` (of the process, if None) ask for; the exit code."""
    parser = Parser(
        prog="python3 -m tools.benchmark",
        description="Measure this project beside plain Keras in float32 and, with --precision\n"
        "bfloat16, in its mixed_bfloat16 too. Each measurement has its own process and so its own\n"
        "peak memory. Weights are random, frames are noise.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, description, frames_help) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=description,
            epilog=f"example:\n  {parser.prog} {name}{_example(name)} --save speed.csv",
        )
        if name == "backbone":
            command.set_defaults(models=["Img"])
        else:
            command.add_argument(
                "--models",
                nargs="+",
                choices=MODELS,
                default=list(MODELS),
                metavar="MODEL",
                help=f"of {', '.join(MODELS)}",
            )
        command.add_argument("--frames", type=positive, metavar="N", help=frames_help)
        add_options(command, "precision overwrite")
        save = "write the table, and a plot beside it"
        command.add_argument("--save", type=path, metavar="CSV", help=save)
    _add_measurements(commands, parser.prog)
    options = parser.parse_args(arguments)
    with exit_on_error(parser.prog):
        if options.command in MEASUREMENTS:
            _measure(options)
            return 0
        compared = options.command, options.models, options.frames, options.precision
        if not options.save:
            _compare(*compared)
            return 0
        from common.evaluation.speed import check_table, write_table

        check_table(options.save, options.overwrite)
        with locked(options.save, wait=False):
            write_table(_compare(*compared), options.save, options.overwrite)
    return 0


def _example(name: str) -> str:
    return "" if name == "backbone" else " --models LAT MJLAT"


def _add_measurements(commands: argparse._SubParsersAction, program: str) -> None:
    for name, (_, summary, description) in MEASUREMENTS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=description,
            epilog=f"example:\n  {program} {name} --images photos/ --contents weights/held_out.txt",
        )
        options_of_pictures = {"required": True, "metavar": "DIR", "help": "folder of pictures"}
        command.add_argument("--images", type=path, **options_of_pictures)
        contents = "file of names, a line each: only these pictures"
        command.add_argument("--contents", type=path, metavar="FILE", help=contents)
        count = "pictures or clips"
        command.add_argument("--count", type=positive, default=8, metavar="N", help=count)
        weights = {"default": bundled("weights"), "help": "weight file of MJ-LAT, or its folder"}
        add_options(command, "model_weights_path precision", model_weights_path=weights)


def _measure(options: argparse.Namespace) -> None:
    """Measure MJ-LAT on pictures, and print a table."""
    from common.evaluation.speed import processor
    from common.inference.predictor import Predictor
    from tools import measuring
    from tools.samples import find_pictures

    pictures = find_pictures(options.images, options.contents)
    measure = getattr(measuring, MEASUREMENTS[options.command][0])
    if options.command == "labels":
        rows = measure(pictures, options.count)
    else:
        how = options.model_weights_path, None, options.precision
        rows = measure(Predictor("MJLAT", *how), pictures, options.count)
    print(f"{processor()}; {options.precision}; right is VMAF's answer, not viewers'\n")
    print(measuring.table_text(rows))


def _compare(
    command: str, models: list[str], frames: int | None, precision: str
) -> list[dict[str, Any]]:
    """Measure and print, a line per model; the rows of the table."""
    from common.base.device import choose_device
    from common.evaluation.speed import in_own_process, prediction_cost, processor
    from common.inference.runtime import AUTO, choose_runtime

    if command == "predict":
        precision = choose_runtime(AUTO, precision).precision
    else:
        _, precision = choose_device(precision)
    rivals = list(dict.fromkeys(("float32", precision)))
    load = os.getloadavg()[0]
    busy = f"; not quiet: the load average is {load:.1f}" if load > 0.5 else ""
    print(f"{processor()}; ours: {precision}{busy}")
    heads = "".join(f"   Keras {rival:8} frames/s   GB  ratio" for rival in rivals)
    print(f"model    frames   ours frames/s   GB{heads}")
    train = {"train": _train_ours, "backbone": _train_backbone_ours}.get(command)
    keras = {"train": _train_keras, "backbone": _train_backbone_keras}.get(command, _predict_keras)
    rows = []
    for name in models:
        usual = {"predict": 16, "backbone": 64}
        count = frames or usual.get(command) or _TRAINING_FRAMES[MODELS[name].sees]
        if train:
            speed, memory = in_own_process(train, name, count, precision)
        else:
            spent, memory = prediction_cost(name, count, precision)
            speed = 1 / spent.seconds
        row = {"command": command, "model": name, "frames": count, "processor": processor()}
        row |= {"precision": precision, "frames_per_second": speed, "gigabytes": memory}
        line = f"{name:7}  {count:6} {speed:15.2f} {memory:4.1f}"
        for rival in rivals:
            its_speed, its_memory = in_own_process(keras, name, count, rival)
            line += f"{its_speed:26.2f} {its_memory:4.1f} {speed / its_speed:6.2f}"
            measured = its_speed, its_memory, speed / its_speed
            names = "frames_per_second", "gigabytes", "times_as_fast"
            row |= {f"keras_{rival}_{what}": value for what, value in zip(names, measured)}
        print(line, flush=True)
        rows.append(row)
    return rows


def _predict_keras(name: str, count: int, precision: str) -> float:
    """Frames/s from frames in memory to levels by plain Keras, in the fastest of the passes."""
    from common.base.device import use_precision
    from common.evaluation.speed import fastest, noise
    from common.models.build import build_model

    use_precision(precision)
    model = build_model(MODELS[name]).whole
    frames = noise(count).astype("float32")
    return count / fastest(lambda: model.predict(frames, batch_size=8, verbose=0)).seconds


def _train_ours(name: str, count: int, precision: str) -> float:
    """Frames/s of the fastest epoch but the first, by the train command."""
    from common.base.constants import LEVELS
    from common.commands.main import main
    from common.data.layout import LEVELS_FILE
    from common.evaluation.speed import write_noise
    from common.models.backbone import build_backbone
    from common.models.weights import write_weights

    description, level = MODELS[name], LEVELS[0]
    os.chdir(tempfile.mkdtemp())  # this process is the measurement's own, and so is the folder
    for split, frames in (("train", count), ("valid", 1)):
        write_noise(Path(split), frames)
        Path(split, LEVELS_FILE).write_text("27 31 35\n" * frames)
        Path(f"{level.lower()}{split}").symlink_to(split)
    for file in description.backbone_files(level):
        write_weights(build_backbone().whole, Path(file))
    options = f"--checkpoint_path . --csv_log_path . --{description.backbone_option} ."
    options += f" --data_dir . --epochs 3 --precision {precision} --jnd_value {level}"
    clock = _Clock()
    with contextlib.redirect_stdout(clock):
        main(name, ["train", *options.split()])
    return count / _shortest(clock.ends)


def _train_backbone_ours(name: str, count: int, precision: str) -> float:
    """Frames/s of the fastest epoch but the first, by stage 1's train command."""
    from common.commands.main import main
    from common.evaluation.speed import write_noise

    os.chdir(tempfile.mkdtemp())
    for split, frames in (("train", count), ("valid", 1)):
        write_noise(Path(split), frames)
    options = f"--target {name} --checkpoint_path . --csv_log_path . --data_dir . --epochs 3"
    clock = _Clock()
    with contextlib.redirect_stdout(clock):
        main("backbone", ["train", *options.split(), "--precision", precision])
    return count / _shortest(clock.ends)


def _train_backbone_keras(name: str, count: int, precision: str) -> float:
    """Frames/s of the fastest epoch but the first, by plain Keras."""
    from common.base.device import use_precision
    from common.base.framework import tf
    from common.evaluation.speed import noise
    from common.models.backbone import build_backbone

    use_precision(precision)
    model = build_backbone((_CROP, _CROP, 3)).whole
    model.compile(tf.keras.optimizers.Adam(1e-4), "mse")
    crops = noise(count)[:, :_CROP, :_CROP].astype("float32")
    return count / _shortest(_fitted(model, crops, crops))


class _Clock(io.StringIO):
    """Notes the time of each line on an epoch."""

    def __init__(self):
        super().__init__()
        self.ends: list[float] = []

    def write(self, text: str) -> int:
        if text.startswith("epoch"):
            self.ends.append(time.perf_counter())
        return super().write(text)


def _train_keras(name: str, count: int, precision: str) -> float:
    """Frames/s of the fastest epoch but the first, by plain Keras."""
    from common.base.device import use_precision
    from common.base.framework import tf
    from common.evaluation.speed import noise
    from common.models.build import JND_FRAME, build_model
    from common.training.predictor import FRAME_WEIGHT, LEVEL_WEIGHT

    use_precision(precision)
    model = build_model(MODELS[name]).whole
    frames = noise(count).astype("float32")
    of_frame = frames, "mse", FRAME_WEIGHT
    of_level = frames[:, 0, 0, :1] / 8, "mae", LEVEL_WEIGHT
    of_outputs = [of_frame if each == JND_FRAME else of_level for each in model.output_names]
    targets, losses, weights = map(list, zip(*of_outputs))
    model.compile(tf.keras.optimizers.Adam(1e-5), losses, loss_weights=weights)
    return count / _shortest(_fitted(model, frames, targets))


def _fitted(model: "tf.keras.Model", frames: "np.ndarray", targets: object) -> list[float]:
    """When each of three epochs of batch 8 ended."""
    from common.base.framework import tf

    ends: list[float] = []
    timed = tf.keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: ends.append(time.perf_counter())
    )
    model.fit(frames, targets, batch_size=8, epochs=3, verbose=0, callbacks=[timed])
    return ends


def _shortest(ends: list[float]) -> float:
    """The shortest epoch of those that end at these times, but for the first, which compiles."""
    return min(end - start for start, end in itertools.pairwise(ends))


if __name__ == "__main__":
    sys.exit(main())
