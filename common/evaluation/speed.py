"""How fast a model predicts and in how much memory, each measured in a process of its own."""

import contextlib
import io
import multiprocessing
import os
import platform
import re
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import psutil
from PIL import Image
from tqdm import tqdm

from ..base.constants import HEIGHT, SOFTWARE, WIDTH
from ..base.errors import UserError
from ..base.files import OUR_PNG, atomic_write, check_writable, temporary_folder
from .results import write_csv

if TYPE_CHECKING:
    from ..inference.predictor import Predictor

PASSES = 3
_TABLE = re.compile(b"command,model,frames,")  # the start of the table of speeds
Measured = TypeVar("Measured")


def in_own_process(measure: Callable[..., Measured], *arguments: object) -> tuple[Measured, float]:
    """What `measure` gives, and the peak memory of the process that ran it, in GB.

    The process ends with us, and with it goes what it left in the folder for temporary files.

    Raises:
        UserError: the process was killed, or `measure` failed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with temporary_folder() as folder:
        given = theirs, str(folder), measure, arguments
        process = context.Process(target=_measured, args=given, daemon=True)
        # A terminal's Ctrl-C reaches every process, but ending this one is for us. `start` would
        # first start the tracker, which lets signals through again.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        try:
            result = ours.recv()
        except EOFError:
            what = " ".join(map(str, arguments))
            raise UserError(f"measuring {what}: killed, as for want of memory") from None
        finally:
            process.kill()
            process.join()
    if isinstance(result, BaseException):
        raise result
    return result


def _measured(
    results: Connection, folder: str, measure: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    tempfile.tempdir = folder
    # tqdm's own lock would outlive a killed process, and be complained of.
    tqdm.set_lock(threading.RLock())
    try:
        results.send((measure(*arguments), _peak_memory()))
    except (UserError, SystemExit) as error:
        results.send(error)
    except Exception as error:
        results.send(UserError(f"{type(error).__name__}: {error}"))


class Time(NamedTuple):
    """What a run takes."""

    seconds: float
    """On the clock."""
    cpu_seconds: float
    """Over all cores, in this process and those that it started."""


def prediction_cost(name: str, count: int, precision: str) -> tuple[Time, float]:
    """Measure the time per frame from `count` image files to levels, in the fastest pass, and the
    peak memory in GB of a process that finds the model already converted.

    Weights are random and frames are noise; neither affects speed.
    """
    with temporary_folder() as folder:
        in_own_process(_convert, name, precision, folder)
        return in_own_process(_prediction_time, name, count, precision, folder)


def _convert(name: str, precision: str, folder: Path) -> None:
    """Convert a model with random weights, and keep it in `folder`."""
    from ..models.build import build_model
    from ..models.descriptions import MODELS
    from ..models.weights import write_weights

    write_weights(build_model(MODELS[name]).whole, folder / "weights.h5")
    _predictor(name, precision, folder)


def _predictor(name: str, precision: str, folder: Path) -> "Predictor":
    from ..inference.predictor import Predictor

    os.environ["XDG_CACHE_HOME"] = str(folder)
    with contextlib.redirect_stderr(io.StringIO()):  # the first process has printed what it runs on
        return Predictor(name, folder / "weights.h5", precision=precision)


def _prediction_time(name: str, count: int, precision: str, folder: Path) -> Time:
    predictor = _predictor(name, precision, folder)
    images = write_noise(folder / "noise", count)
    return Time(*(spent / count for spent in fastest(lambda: list(predictor.predict(images)))))


def fastest(run: Callable[[], object]) -> Time:
    """The fastest of `PASSES` runs after a first, which compiles."""
    times = []
    for _ in range(1 + PASSES):
        seconds, cpu_seconds = time.perf_counter(), sum(os.times()[:4])
        run()
        spent = time.perf_counter() - seconds, sum(os.times()[:4]) - cpu_seconds
        times.append(Time(*spent))
    return min(times[1:])


def noise(count: int) -> np.ndarray:
    """Frames of noise, the same ones every time: uint8 [count, 352, 640, 3]."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)


def write_noise(folder: Path, count: int) -> list[Path]:
    """Write frames of noise as PNGs; their paths."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:06}.png" for number in range(count)]
    for path, frame in zip(paths, noise(count)):
        Image.fromarray(frame).save(path, compress_level=1)
    return paths


def check_table(save: Path, overwrite: bool) -> None:
    """Check that `write_table` will succeed.

    Raises:
        UserError: as `check_writable`.
    """
    check_writable(save, _TABLE, overwrite)
    check_writable(save.with_suffix(".png"), OUR_PNG, overwrite)


def write_table(rows: list[dict[str, Any]], save: Path, overwrite: bool) -> None:
    """Write the measurements of `tools.benchmark` to the CSV file `save`, and a plot beside it."""
    table = pd.DataFrame(rows)
    write_csv(table, save, _TABLE, overwrite, float_format="%.4g")
    _draw_ratios(table, save.with_suffix(".png"), overwrite)


def _draw_ratios(table: pd.DataFrame, path: Path, overwrite: bool) -> None:
    """Draw the ratio to plain Keras, a bar per model and precision of Keras."""
    from matplotlib.figure import Figure

    ratios = table.set_index("model").filter(like="times_as_fast")
    words = (name.removesuffix("_times_as_fast").split("_") for name in ratios)
    ratios = ratios.set_axis([f"Keras in {precision}" for _, precision in words], axis=1)
    figure = Figure(figsize=(6, 1 + 0.5 * len(table)), layout="constrained")
    axes = figure.subplots()
    ratios[::-1].plot.barh(ax=axes, xlabel="times as fast", ylabel="")
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_title(f"{table.command[0]}, {table.precision[0]}: {table.processor[0]}", fontsize=9)
    with atomic_write(path, OUR_PNG, overwrite) as beside:
        figure.savefig(beside, dpi=120, metadata={"Software": SOFTWARE})


def processor() -> str:
    """The processor's name, as the system tells it, and its cores."""
    name = _told_by_linux("cpuinfo", r"model name\s*: (.*)")
    return f"{name or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def machine() -> str:
    """Processor, cores and memory of this machine."""
    return f"{processor()}, {psutil.virtual_memory().total / 1e9:.0f} GB"


def _peak_memory() -> float:
    # Of this program alone: ru_maxrss also counts what its parent held when it forked.
    kibibytes = _told_by_linux("self/status", r"VmHWM:\s+(\d+) kB")
    if kibibytes:
        return int(kibibytes) * 1024 / 1e9
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _told_by_linux(file: str, pattern: str) -> str | None:
    """What a file in /proc says in the group of `pattern`; None where it does not."""
    path = Path("/proc", file)
    match = path.exists() and re.search(pattern, path.read_text())
    return match[1] if match else None
