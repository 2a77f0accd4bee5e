"""What tools/gpu_check.sh, which says more, does in Python."""

import concurrent.futures
import contextlib
import functools
import gc
import json
import os
import subprocess
import sys
import time
import timeit
import traceback
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np


class Sizes(NamedTuple):
    """How much to measure with, by what the head sees; of backbones, by ""."""

    frames: dict[str, int]
    batches: dict[str, tuple[int, ...]]


# In an epoch that took less than a second, what it takes to write the state would count. A GPU
# takes 18 frames of a head on reconstructions at most: see `count_most_frames`.
FULL = Sizes(
    {"latent": 512, "reconstruction": 128, "": 512},
    {"latent": (8, 32), "reconstruction": (8, 16), "": (8, 32)},
)
SMALL = Sizes({"latent": 2, "reconstruction": 1, "": 2}, dict.fromkeys(FULL.batches, (1,)))
SIZES = SMALL if os.environ.get("GPU_CHECK_SMALL") else FULL
NOISE = Path(os.environ.get("GPU_CHECK_PLACE", "/tmp/gpu_check"), "noise")
FLOAT32, TF32, BFLOAT16 = "float32", "TF32", "bfloat16"
GOLDEN, PREDICT, TRAIN, MACHINE = "golden", "predict", "train", "machine"
ROWS = Path(os.environ.get("OUT", "."), "gpu_check.jsonl").absolute()


def check_golden() -> None:
    """Compare all models with golden levels in float32; write a row for each.

    In a process of its own, since TensorFlow keeps the algorithm that it has chosen for a
    convolution, whether with TF32 or without, until the process ends.
    """
    from common.base.device import describe_gpus
    from common.base.framework import tf
    from common.evaluation.speed import describe_machine
    from common.models.descriptions import MODELS

    cards = describe_gpus()  # before any memory is taken
    if not cards and os.environ.get("CUDA_VISIBLE_DEVICES") != "":
        sys.exit("gpu_check: TensorFlow sees no GPU; why is said above")
    query = "nvidia-smi --query-gpu=driver_version --format=csv,noheader"
    driver = f"driver {subprocess.getoutput(query)}" if cards else "no GPU"
    about = [*cards, driver, f"TensorFlow {tf.__version__}", describe_machine()]
    _write_row({"what": MACHINE, "about": "; ".join(about)})
    tf.config.experimental.enable_tensor_float_32_execution(False)
    for name in MODELS:
        _record({"what": GOLDEN, "model": name, "mode": FLOAT32}, _check_golden, name)


def check(name: str) -> None:
    """Measure a model, or stage 1 if `name` is "Img"; write a row for each measurement.

    A measurement that fails is told in its row, and does not stop the others.
    """
    from common.base.device import describe_gpus
    from common.models.descriptions import MODELS
    from tools.comparison import write_data

    describe_gpus()  # before any memory is taken
    sees = MODELS[name].sees if name in MODELS else ""
    count = SIZES.frames[sees]
    if name in MODELS:
        for each in (TF32, BFLOAT16):
            _record({"what": GOLDEN, "model": name, "mode": each}, _check_golden, name)
    write_data(name, count, NOISE)
    for batch in (None, *SIZES.batches[sees]):
        for precision in (FLOAT32, BFLOAT16):
            row: dict[str, Any] = {"what": TRAIN if batch else PREDICT, "model": name}
            row |= {"mode": precision, "frames": count}
            if batch:
                _record({**row, "batch": batch}, _measure_training, name, count, precision, batch)
            elif name in MODELS:
                _record(row, _measure_prediction, name, count, precision)


def _record(row: dict[str, Any], measure: Callable[..., None], *arguments: object) -> None:
    """Let `measure` complete a row, and write it; what it has until an error is kept."""
    start = time.perf_counter()
    try:
        measure(row, *arguments)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        row["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:120]
    _write_row({**row, "seconds": time.perf_counter() - start})


def _write_row(row: dict[str, Any]) -> None:
    with ROWS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(row, flush=True)


def _check_golden(row: dict[str, Any], name: str) -> None:
    """Compare levels with the published implementation's in float32: the largest relative error.

    "TF32" is what TensorFlow computes a float32 model in unless told otherwise: float32 with
    factors of 10 bits on a card that has such arithmetic.
    """
    from tests import golden

    predictor = _load(name, BFLOAT16 if row["mode"] == BFLOAT16 else FLOAT32)
    levels = predictor.levels(golden.frames()[..., ::-1])
    expected = np.array(golden.EXPECTED[name]["levels"])
    row["error_of_levels"] = float(np.abs(levels / expected.reshape(levels.shape) - 1).max())


def _load(name: str, precision: str) -> Any:
    from common.inference.predictor import Predictor
    from tests import golden

    weights = Path(f"/tmp/gpu_check_{name}.h5")
    if not weights.exists():
        golden.write_weights(name, weights)
    return Predictor(name, weights, precision=precision, runtime="keras")


def _measure_prediction(row: dict[str, Any], name: str, count: int, precision: str) -> None:
    """Measure passes over image files by ours, and over frames by Keras in batches of 8."""
    from common.base.device import use_precision
    from common.models.build import build_model
    from common.models.descriptions import MODELS
    from tools.comparison import make_tensor

    images = sorted(Path("train").glob("*.png"))
    predictor = _load(name, precision)

    def make_ours() -> Callable[[], object]:
        predictor = _load(name, precision)
        return lambda: list(predictor.predict(images))

    def make_keras() -> Callable[[], object]:
        use_precision(precision)
        model, frames = build_model(MODELS[name]).whole, make_tensor(count)
        return lambda: model.predict(frames, batch_size=8, verbose=0)

    row |= _measure(lambda: _time_passes(make_ours), count)
    zeros = np.zeros((count, len(predictor.names)), np.float32)
    predictor._runtime = predictor._runtime._replace(levels=lambda frames: zeros[: len(frames)])
    row["reading"] = _time(lambda: list(predictor.predict(images))) * row["speed"] / count
    _compare(row, _measure(lambda: _time_passes(make_keras), count))


def _time_passes(make: Callable[[], Callable[[], object]]) -> list[float]:
    run, ends = make(), []
    for _ in range(4):
        run()
        ends.append(time.perf_counter())
        if len(ends) == 1:
            _forget_peak()
    return ends


def _time(run: Callable[[], object]) -> float:
    return timeit.timeit(run, number=1)


def _measure_training(
    row: dict[str, Any], name: str, count: int, precision: str, batch: int
) -> None:
    """Measure three epochs of the train command and of Keras's `fit`."""
    from common.training import backbone, predictor
    from tools.comparison import EpochClock, train, train_with_keras

    class Clock(EpochClock):
        def write(self, text: str) -> int:
            written = super().write(text)
            if text.startswith("epoch") and len(self.ends) == 1:
                _forget_peak()
            return written

    def time_epochs(run: Callable[[], None]) -> list[float]:
        with contextlib.redirect_stdout(Clock()) as clock:
            run()
        return clock.ends

    stage_1 = name == "Img"
    where = (backbone, "_make_batches") if stage_1 else (predictor, "training_batches")
    with _recording(*where) as datasets:
        row |= _measure(lambda: time_epochs(lambda: train(name, precision, batch)), count)
    row["reading"] = _time(lambda: [None for _ in datasets[-1]]) * row["speed"] / count
    fit = functools.partial(train_with_keras, name, count, precision, batch)
    _compare(row, _measure(lambda: time_epochs(fit), count))


@contextlib.contextmanager
def _recording(module: ModuleType, name: str) -> Iterator[list]:
    """Keep what a function of a module returns within a block."""
    original, returned = getattr(module, name), []

    @functools.wraps(original)
    def record(*arguments: object, **options: object) -> object:
        returned.append(original(*arguments, **options))
        return returned[-1]

    setattr(module, name, record)
    try:
        yield returned
    finally:
        setattr(module, name, original)


def _measure(run: Callable[[], list[float]], count: int) -> dict[str, float]:
    """Measure a run that returns when each pass ended.

    Returns:
        "speed": frames/s in the fastest pass after the first; "start": seconds that the first took
        longer, with building, compiling and choosing algorithms; "memory": peak GB of the GPU's
        memory after that, 0 on a CPU.
    """
    from common.base.framework import tf

    gc.collect()
    tf.keras.backend.clear_session()
    start = time.perf_counter()
    ends = run()
    fastest = min(np.diff(ends))
    gpus = tf.config.list_physical_devices("GPU")
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpus else 0
    first = float(ends[0] - start - fastest)
    return {"speed": float(count / fastest), "start": first, "memory": peak / 1e9}


def _forget_peak() -> None:
    """Measure the peak of the GPU's memory from now on: trying algorithms takes gigabytes."""
    from common.base.framework import tf

    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.reset_memory_stats("GPU:0")


def _compare(row: dict[str, Any], keras: dict[str, float]) -> None:
    """Add what was measured of Keras, and the ratio of speeds."""
    row |= {f"keras_{what}": value for what, value in keras.items()}
    row["ratio"] = row["speed"] / row["keras_speed"]


def write_noise_once(count: int) -> None:
    """Write frames of noise to `NOISE` with all processors, for `check` to link."""
    from PIL import Image

    from common.evaluation.speed import make_noise

    NOISE.mkdir(parents=True, exist_ok=True)
    save = functools.partial(Image.Image.save, compress_level=1)
    paths = [NOISE / f"{number:06}.png" for number in range(count)]
    with concurrent.futures.ProcessPoolExecutor() as pool:
        list(pool.map(save, map(Image.fromarray, make_noise(count)), paths))


def write_table(paths: list[Path]) -> None:
    """Write the rows of files as gpu_check.md, for docs/speed.md; exit with 1 if one is bad.

    A row is bad if it is an error, or golden in float32 and more than 1e-3 off.
    """
    import pandas as pd

    told = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    machines = dict.fromkeys(row["about"] for row in told if row["what"] == MACHINE)
    rows = [row for row in told if row["what"] != MACHINE]
    if not rows:
        sys.exit("gpu_check: nothing was measured")
    table = pd.DataFrame(rows).dropna(axis="columns", how="all")
    with ROWS.with_suffix(".md").open("w") as file:
        file.writelines(f"{date.today()}: {machine}\n" for machine in machines)
        for _, part in table.groupby("what", sort=False):
            part = part.dropna(axis="columns", how="all").fillna("")
            file.write(f"\n{part.to_markdown(index=False, floatfmt='.4g')}\n")
    golden = [row for row in rows if (row["what"], row["mode"]) == (GOLDEN, FLOAT32)]
    bad = [row for row in rows if "error" in row]
    bad += [row for row in golden if not row.get("error_of_levels", 0) < 1e-3]
    sys.exit(f"gpu_check: {len(bad)} of {len(rows)} rows are bad: {bad}" if bad else 0)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["table", *files]:
            write_table([*map(Path, files)] or [ROWS])
        case ["noise"]:
            write_noise_once(max(SIZES.frames.values()))
        case ["golden"]:
            check_golden()
        case [model]:
            check(model)
