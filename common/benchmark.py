"""How fast, in how much memory: this project beside plain Keras, measured in one run."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

from common.cli import quiet_tensorflow
from common.errors import Parser, positive, reported
from common.models.descriptions import MODELS

_PASSES = 3


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
    print(
        f"{_processor()}, {multiprocessing.cpu_count()} cores; {frames} frames; ours: {precision}"
    )
    print("model    ours frames/s   GB    Keras frames/s   GB    ratio")
    for name in models:
        ours, our_memory = _in_own_process(_predict_ours, name, frames, precision)
        keras, keras_memory = _in_own_process(_predict_keras, name, frames)
        print(
            f"{name:7}  {ours:13.2f} {our_memory:4.1f}  {keras:15.2f} {keras_memory:5.1f}"
            f"  {ours / keras:6.2f}",
            flush=True,
        )


def _in_own_process(measure, *arguments) -> tuple[float, float]:
    """What `measure` gives, and the peak memory of the process that ran it, in GB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        value = pool.apply(measure, arguments)
        return value, pool.apply(_peak_memory)


def _peak_memory() -> float:
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _predict_ours(name: str, count: int, precision: str) -> float:
    """Frames/s from image files to levels, in the fastest of the passes."""
    from PIL import Image

    from common.data.frames import frame_batches
    from common.loops.testing import predict, prepare_model

    description = MODELS[name]
    model, device = prepare_model(description, precision)
    with tempfile.TemporaryDirectory() as folder:
        images = [Path(folder) / f"{number}.png" for number in range(count)]
        for image, frame in zip(images, _noise(count)):
            Image.fromarray(frame).save(image, compress_level=1)
        batches = frame_batches(images, description.test_batch, bad=[]).repeat(_PASSES + 1)
        return count / _fastest(predict(model, batches, device, precision), count)


def _predict_keras(name: str, count: int) -> float:
    """Frames/s from frames in memory to levels by plain Keras, in the fastest of the passes."""
    from common.models.build import build_model

    model = build_model(MODELS[name])
    frames = _noise(count).astype("float32")

    def passes():
        for _ in range(_PASSES + 1):
            model.predict(frames, batch_size=8, verbose=0)
            yield frames, None

    return count / _fastest(passes(), count)


def _fastest(batches, count: int) -> float:
    """Seconds of the fastest pass over `count` frames, but for the first, which compiles."""
    ends, done = [], 0
    for frames, _ in batches:
        done += len(frames)
        if done % count == 0:
            ends.append(time.perf_counter())
    return min(end - start for start, end in zip(ends, ends[1:]))


def _noise(count: int):
    import numpy as np

    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, 352, 640, 3), np.uint8)


def _processor() -> str:
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        for line in cpu.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    import platform

    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
