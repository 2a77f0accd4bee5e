"""How fast a model predicts and in how much memory, each measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import platform
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sized
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from PIL import Image

from common.data.frames import frame_batches
from common.errors import UserError
from common.facts import HEIGHT, WIDTH
from common.models.descriptions import MODELS

PASSES = 3


def in_own_process(measure: Callable[..., float], *arguments: object) -> tuple[float, float]:
    """What `measure` gives, and the peak memory of the process that ran it, in GB.

    Raises:
        UserError: the process was killed.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            value = pool.submit(measure, *arguments).result()
            return value, pool.submit(_peak_memory).result()
        except BrokenProcessPool:
            what = " ".join(map(str, arguments))
            raise UserError(f"measuring {what}: killed, as for want of memory") from None


def prediction_speed(name: str, count: int, precision: str) -> float:
    """Frames/s from `count` image files to levels, in the fastest of the passes.

    The model `name` (a key of MODELS) with random weights, the frames noise: neither changes speed.
    """
    from common.evaluation.predictor import predict, prepare_model

    description = MODELS[name]
    model, device = prepare_model(description, precision)
    with tempfile.TemporaryDirectory() as folder:
        images = [Path(folder) / f"{number}.png" for number in range(count)]
        for image, frame in zip(images, noise(count)):
            Image.fromarray(frame).save(image, compress_level=1)
        batches = frame_batches(images, description.test_batch, bad=[]).repeat(PASSES + 1)
        return count / fastest(predict(model, batches, device, precision), count)


def fastest(batches: Iterable[tuple[Sized, object]], count: int) -> float:
    """Seconds of the fastest pass over `count` frames, but for the first, which compiles."""
    ends, done = [], 0
    for frames, _ in batches:
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
