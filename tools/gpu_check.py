"""What tools/gpu_check.sh, which says more, does in Python."""

import contextlib
import functools
import gc
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np


class Sizes(NamedTuple):
    """How much to measure with."""

    frames: dict[str, int]  # by what the head sees; of backbones, by ""
    batches: tuple[int, ...]


# In an epoch that took less than a second, what it takes to write the state would count.
FULL = Sizes({"latent": 512, "reconstruction": 128, "": 512}, (8, 32))
SMALL = Sizes({"latent": 2, "reconstruction": 1, "": 2}, (1,))
SIZES = SMALL if os.environ.get("GPU_CHECK_SMALL") else FULL
ROWS = Path(os.environ.get("OUT", "."), "gpu_check.jsonl").absolute()


def check(name: str) -> None:
    """Check and measure a model, or stage 1 if `name` is "Img"; write a row for each measurement.

    A measurement that fails is told in its row, and does not stop the others.
    """
    from common.base.device import describe_gpus
    from common.models.descriptions import MODELS
    from tools.comparison import write_data

    # Before any memory is taken.
    if not describe_gpus() and os.environ.get("CUDA_VISIBLE_DEVICES") != "":
        sys.exit("gpu_check: TensorFlow sees no GPU; why is said above")
    count = SIZES.frames[MODELS[name].sees if name in MODELS else ""]
    if name in MODELS:
        for mode in ("float32", "TF32", "bfloat16"):
            _record({"what": "golden", "model": name, "mode": mode}, _check_golden, name, mode)
    write_data(name, count)
    for precision in ("float32", "bfloat16"):
        row: dict[str, Any] = {"model": name, "mode": precision, "frames": count}
        if name in MODELS:
            _record({"what": "predict", **row}, _measure_prediction, name, count, precision)
        for batch in SIZES.batches:
            row |= {"what": "train", "batch": batch}
            _record(row.copy(), _measure_training, name, count, precision, batch)


def _record(row: dict[str, Any], measure: Callable[..., dict], *arguments: object) -> None:
    try:
        row |= measure(*arguments)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        row["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:120]
    with ROWS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(row, flush=True)


def _check_golden(name: str, mode: str) -> dict[str, Any]:
    """Compare levels with the published implementation's in float32: the largest relative error.

    "TF32" is what TensorFlow computes a float32 model in unless told otherwise: float32 with
    factors of 10 bits on a card that has such arithmetic.
    """
    from common.base.framework import tf
    from tests import golden

    tf.config.experimental.enable_tensor_float_32_execution(mode == "TF32")
    predictor = _load(name, "bfloat16" if mode == "bfloat16" else "float32")
    levels = predictor.levels(golden.frames()[..., ::-1])
    expected = np.array(golden.EXPECTED[name]["levels"])
    error = float(np.abs(levels / expected.reshape(levels.shape) - 1).max())
    tf.config.experimental.enable_tensor_float_32_execution(True)
    return {"error_of_levels": error}


def _load(name: str, precision: str) -> Any:
    from common.inference.predictor import Predictor
    from tests import golden

    weights = Path(f"/tmp/gpu_check_{name}.h5")
    if not weights.exists():
        golden.write_weights(name, weights)
    return Predictor(name, weights, precision=precision, runtime="keras")


def _measure_prediction(name: str, count: int, precision: str) -> dict[str, Any]:
    """Measure passes over image files by ours, and over frames by Keras in batches of 8."""
    from common.base.device import use_precision
    from common.evaluation.speed import make_noise
    from common.models.build import build_model
    from common.models.descriptions import MODELS

    images = sorted(Path("train").glob("*.png"))
    predictor = _load(name, precision)

    def make_ours() -> Callable[[], object]:
        predictor = _load(name, precision)
        return lambda: list(predictor.predict(images))

    def make_keras() -> Callable[[], object]:
        use_precision(precision)
        model, frames = build_model(MODELS[name]).whole, make_noise(count).astype("float32")
        return lambda: model.predict(frames, batch_size=8, verbose=0)

    ours = _measure(lambda: _time_passes(make_ours), count)
    keras = _measure(lambda: _time_passes(make_keras), count)
    zeros = np.zeros((count, len(predictor.names)), np.float32)
    predictor._runtime = predictor._runtime._replace(levels=lambda frames: zeros[: len(frames)])
    reading = _time(lambda: list(predictor.predict(images)))
    return _compare(ours, keras, reading, count)


def _time_passes(make: Callable[[], Callable[[], object]]) -> list[float]:
    run, ends = make(), []
    for _ in range(4):
        run()
        ends.append(time.perf_counter())
    return ends


def _time(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _measure_training(name: str, count: int, precision: str, batch: int) -> dict[str, Any]:
    """Measure three epochs of the train command and of Keras's `fit`."""
    from common.training import backbone, predictor
    from tools.comparison import EpochClock, train, train_with_keras

    def time_epochs(run: Callable[[], None]) -> list[float]:
        with contextlib.redirect_stdout(EpochClock()) as clock:
            run()
        return clock.ends

    stage_1 = name == "Img"
    where = (backbone, "_make_batches") if stage_1 else (predictor, "training_batches")
    with _recording(*where) as datasets:
        ours = _measure(lambda: time_epochs(lambda: train(name, precision, batch)), count)
    reading = _time(lambda: [None for _ in datasets[-1]])
    fit = functools.partial(train_with_keras, name, count, precision, batch)
    return _compare(ours, _measure(lambda: time_epochs(fit), count), reading, count)


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
        longer, with building and compiling; "memory": peak GB of the GPU's memory, 0 on a CPU.
    """
    from common.base.framework import tf

    gc.collect()
    tf.keras.backend.clear_session()
    gpu = bool(tf.config.list_physical_devices("GPU"))
    if gpu:
        tf.config.experimental.reset_memory_stats("GPU:0")
    start = time.perf_counter()
    ends = run()
    fastest = min(np.diff(ends))
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpu else 0
    speed, starting = float(count / fastest), float(ends[0] - start - fastest)
    return {"speed": speed, "start": starting, "memory": peak / 1e9}


def _compare(
    ours: dict[str, float], keras: dict[str, float], reading: float, count: int
) -> dict[str, float]:
    """Join both measurements, their ratio of speeds, and what part of ours reading alone takes."""
    of_keras = {f"keras_{what}": value for what, value in keras.items()}
    ratio, share = ours["speed"] / keras["speed"], reading * ours["speed"] / count
    return ours | of_keras | {"ratio": ratio, "reading": share}


def write_table() -> None:
    """Write the rows beside them as gpu_check.md, for docs/speed.md; exit with 1 if one is bad.

    A row is bad if it is an error, or golden in float32 and more than 1e-3 off.
    """
    import pandas as pd

    from common.base.device import describe_gpus
    from common.base.framework import tf
    from common.evaluation.speed import describe_machine

    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = "no driver"
    with contextlib.suppress(OSError):
        driver = f"driver {subprocess.run(query, capture_output=True, text=True).stdout.strip()}"
    cards = describe_gpus() or ["CPU"]
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    if not rows:
        sys.exit("gpu_check: nothing was measured")
    table = pd.DataFrame(rows).dropna(axis="columns", how="all")
    with ROWS.with_suffix(".md").open("w") as file:
        line = "; ".join([*cards, driver, f"TensorFlow {tf.__version__}", describe_machine()])
        file.write(f"{date.today()}: {line}\n")
        for _, part in table.groupby("what", sort=False):
            shown = part.dropna(axis="columns", how="all").fillna("")
            file.write(f"\n{shown.to_markdown(index=False, floatfmt='.4g')}\n")
    golden = [row for row in rows if (row["what"], row["mode"]) == ("golden", "float32")]
    bad = [row for row in rows if "error" in row]
    bad += [row for row in golden if not row.get("error_of_levels", 0) < 1e-3]
    sys.exit(f"gpu_check: {len(bad)} of {len(rows)} rows are bad: {bad}" if bad else 0)


if __name__ == "__main__":
    if sys.argv[1:] == ["table"]:
        write_table()
    else:
        check(sys.argv[1])
