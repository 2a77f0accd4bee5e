"""How fast, in how much memory: this project beside plain Keras, measured in one run."""

from __future__ import annotations

import multiprocessing
import sys

from common.cli import quiet_tensorflow
from common.errors import Parser, positive, reported
from common.loops.speed import PASSES, fastest, in_own_process, noise, prediction_speed, processor
from common.models.descriptions import MODELS


def main(arguments: list[str] | None = None) -> int:
    """Measure what `arguments` (of the process, if None) ask for; the exit code."""
    parser = Parser(
        prog="python3 -m common.benchmark",
        description="Measure this project beside plain Keras. Each measurement has its own\n"
        "process and so its own peak memory. Weights are random, frames are noise.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    predicting = commands.add_parser(
        "predict",
        help="frames/s and peak memory of predicting",
        description="From image files to levels (this project, default batch) and from frames in\n"
        "memory to levels (Keras, Model.predict, float32, batch 8).",
        epilog="example:\n  python3 -m common.benchmark predict --models LAT MJLAT",
    )
    predicting.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="MODEL"
    )
    predicting.add_argument(
        "--frames",
        type=positive,
        default=16,
        metavar="N",
        help="frames a pass; the fastest of three counts",
    )
    predicting.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="this project's; Keras computes in float32",
    )
    options = parser.parse_args(arguments)
    with reported(parser.prog):
        _compare_predictions(options.models, options.frames, options.precision)
    return 0


def _compare_predictions(models: list[str], frames: int, precision: str) -> None:
    quiet_tensorflow()
    print(f"{processor()}, {multiprocessing.cpu_count()} cores; {frames} frames; ours: {precision}")
    print("model    ours frames/s   GB    Keras frames/s   GB    ratio")
    for name in models:
        ours, our_memory = in_own_process(prediction_speed, name, frames, precision)
        keras, keras_memory = in_own_process(_predict_keras, name, frames)
        print(
            f"{name:7}  {ours:13.2f} {our_memory:4.1f}  {keras:15.2f} {keras_memory:5.1f}"
            f"  {ours / keras:6.2f}",
            flush=True,
        )


def _predict_keras(name: str, count: int) -> float:
    """Frames/s from frames in memory to levels by plain Keras, in the fastest of the passes."""
    from common.models.build import build_model

    model = build_model(MODELS[name])
    frames = noise(count).astype("float32")

    def passes():
        for _ in range(PASSES + 1):
            model.predict(frames, batch_size=8, verbose=0)
            yield frames, None

    return count / fastest(passes(), count)


if __name__ == "__main__":
    sys.exit(main())
