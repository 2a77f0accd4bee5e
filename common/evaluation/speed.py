"""How fast a model predicts and in how much memory, each measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import platform
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sized
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image

from common.errors import UserError
from common.facts import HEIGHT, WIDTH

PASSES = 3


def in_own_process(measure: Callable[..., float], *arguments: object) -> tuple[float, float]:
    """What `measure` gives, and the peak memory of the process that ran it, in GB.

    The process ends with us, and with it goes what it left in the folder for temporary files.

    Raises:
        UserError: the process was killed, or `measure` failed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        given = theirs, folder, measure, arguments
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
    results: Connection, folder: str, measure: Callable[..., float], arguments: tuple[object, ...]
) -> None:
    tempfile.tempdir = folder
    try:
        results.send((measure(*arguments), _peak_memory()))
    except (UserError, SystemExit) as error:
        results.send(error)
    except Exception as error:
        results.send(UserError(f"{type(error).__name__}: {error}"))


def prediction_speed(name: str, count: int, precision: str) -> float:
    """Frames/s from `count` image files to levels, in the fastest of the passes.

    The model `name` (a key of MODELS) with random weights, the frames noise: neither changes speed.
    """
    from common.predictor import Predictor

    predictor = Predictor(name, None, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        images = [Path(folder) / f"{number}.png" for number in range(count)]
        for image, frame in zip(images, noise(count)):
            Image.fromarray(frame).save(image, compress_level=1)
        passes = (batch for _ in range(PASSES + 1) for batch in predictor.predict(images))
        return count / fastest(passes, count)


def fastest(batches: Iterable[tuple[Sized, ...]], count: int) -> float:
    """Seconds of the fastest pass over `count` frames, but for the first, which compiles."""
    ends, done = [], 0
    for frames, *_ in batches:
        done += len(frames)
        if done % count == 0:
            ends.append(time.perf_counter())
    return shortest(ends)


def shortest(ends: list[float]) -> float:
    """The shortest of the spans that end at these times, but for the first, which compiles."""
    return min(end - start for start, end in zip(ends, ends[1:]))


def noise(count: int) -> np.ndarray:
    """Frames of noise, the same ones every time: uint8 [count, 352, 640, 3]."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)


def processor() -> str:
    """The processor's name, as the system tells it."""
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        for line in cpu.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _peak_memory() -> float:
    # Of this program alone: ru_maxrss also counts what its parent held when it forked.
    status = Path("/proc/self/status")
    own = status.exists() and re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    if own:
        return int(own[1]) * 1024 / 1e9
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
