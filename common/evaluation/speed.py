"""Speed and memory of predictions, each measured in a separate process."""

import contextlib
import io
import os
import pickle
import platform
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import psutil
from PIL import Image
from tqdm import tqdm

from ..base.constants import HEIGHT, WIDTH
from ..base.errors import UserError
from ..base.temporary import temporary_folder
from ..inference.predictor import Predictor
from ..models.descriptions import MODELS

PASSES = 3
Result = TypeVar("Result")


class Cost(NamedTuple):
    """The time per frame and the memory of a prediction."""

    seconds: float
    cpu_seconds: float  # over all cores
    gigabytes: float  # peak memory of the process


def run_in_own_process(measure: Callable[..., Result], *arguments: object) -> tuple[Result, float]:
    """Run `measure` in a new process; return its result and the process's peak memory in GB.

    The process ends with this one, and its temporary files are removed.

    Raises:
        UserError: the process was killed, or `measure` failed.
    """
    with temporary_folder() as folder:
        job = folder / "job"
        job.write_bytes(pickle.dumps((measure, arguments)))
        code = f"import sys; from {__name__} import run_job; run_job(sys.argv[1])"
        environment = {"TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
        # In a new session, so that Ctrl-C reaches only this process, which then kills the other.
        subprocess.run(
            [sys.executable, "-c", code, job],
            env={**os.environ, **environment},
            start_new_session=True,
        )
        result = job.with_name("result")
        if not result.exists():
            what = " ".join(map(str, arguments))
            raise UserError(f"measuring {what}: killed, perhaps for lack of memory")
        outcome = pickle.loads(result.read_bytes())
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def run_job(path: str) -> None:
    """Run the job that `run_in_own_process` wrote, and write its result beside it."""
    # Python would warn about tqdm's default lock if this process was killed.
    tqdm.set_lock(threading.RLock())
    outcome: object
    try:
        measure, arguments = pickle.loads(Path(path).read_bytes())
        outcome = measure(*arguments), _peak_memory()
    except (UserError, SystemExit) as error:
        outcome = error
    except Exception as error:
        outcome = UserError(f"{type(error).__name__}: {error}")
    temporary = Path(path).with_name("partial")
    temporary.write_bytes(pickle.dumps(outcome))
    temporary.rename(temporary.with_name("result"))


def measure_prediction(name: str, count: int, precision: str) -> Cost:
    """Measure the cost per frame of predicting `count` image files, in the fastest pass.

    The model is converted before the measured process starts. Weights are random and frames are
    noise, neither of which affects speed.
    """
    with temporary_folder() as folder:
        run_in_own_process(_convert, name, precision, folder)
        times, memory = run_in_own_process(_time_prediction, name, count, precision, folder)
    seconds, cpu_seconds = (each / count for each in times)
    return Cost(seconds, cpu_seconds, memory)


def _convert(name: str, precision: str, folder: Path) -> None:
    """Convert a model with random weights, and store it in `folder`."""
    # Imported here, so that the measured process loads TensorFlow only if it needs it.
    from ..models import build, weights

    weights.write_weights(build.build_model(MODELS[name]).whole, folder / "weights.h5")
    _load_predictor(name, precision, folder)


def _load_predictor(name: str, precision: str, folder: Path) -> Predictor:
    os.environ["XDG_CACHE_HOME"] = str(folder)
    with contextlib.redirect_stderr(io.StringIO()):  # the parent has reported the device
        return Predictor(name, folder / "weights.h5", precision=precision)


def _time_prediction(name: str, count: int, precision: str, folder: Path) -> tuple[float, float]:
    predictor = _load_predictor(name, precision, folder)
    images = write_noise(folder / "noise", count)
    return time_fastest(lambda: list(predictor.predict(images)))


def time_fastest(run: Callable[[], object]) -> tuple[float, float]:
    """Time the fastest of `PASSES` runs after one that compiles: seconds and CPU seconds."""
    times = []
    for _ in range(1 + PASSES):
        seconds, cpu_seconds = time.perf_counter(), sum(os.times()[:4])
        run()
        times.append((time.perf_counter() - seconds, sum(os.times()[:4]) - cpu_seconds))
    return min(times[1:])


def make_noise(count: int) -> np.ndarray:
    """Make frames of noise, the same ones every time: uint8 [count, 352, 640, 3]."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)


def write_noise(folder: Path, count: int) -> list[Path]:
    """Write frames of noise as PNG files, and return their paths."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:06}.png" for number in range(count)]
    for path, frame in zip(paths, make_noise(count)):
        Image.fromarray(frame).save(path, compress_level=1)
    return paths


def describe_processor() -> str:
    """Name the processor and count its cores."""
    name = _read_proc("cpuinfo", r"model name\s*: (.*)")
    return f"{name or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def describe_machine() -> str:
    """Name the processor, and count the cores and the memory."""
    return f"{describe_processor()}, {psutil.virtual_memory().total / 1e9:.0f} GB"


def _peak_memory() -> float:
    # Unlike ru_maxrss, VmHWM leaves out what the parent held when it forked.
    if kibibytes := _read_proc("self/status", r"VmHWM:\s+(\d+) kB"):
        return int(kibibytes) * 1024 / 1e9
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _read_proc(file: str, pattern: str) -> str | None:
    """Return the first group of `pattern` in a file of /proc, or None without such a line."""
    path = Path("/proc", file)
    match = re.search(pattern, path.read_text()) if path.exists() else None
    return match[1] if match else None
