"""Seeded weights and frames, and what the published implementation makes of them.

layout.json: layer order, weight names and shapes of each published weight file; expected.json: the
published implementation's outputs (float32, CPU) for the values made here with seed 1. A value is
drawn from a generator seeded with a checksum of what it is for, and so is the same everywhere.
"""

import json
import zlib
from pathlib import Path

import h5py
import numpy as np

_FOLDER = Path(__file__).parent
LAYOUT = json.loads((_FOLDER / "layout.json").read_text())
EXPECTED = json.loads((_FOLDER / "expected.json").read_text())["models"]
SEED = 1


def write_weights(model: str, path: Path) -> None:
    """Write the seeded weight file of `model`, a key of LAYOUT, in the published layout."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer, _ in LAYOUT[model]]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.4.0"
        for layer, weights in LAYOUT[model]:
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name, _ in weights]
            for name, shape in weights:
                group.create_dataset(name, data=_value(model, name, shape).astype(np.float32))


def frames(count: int = 3) -> np.ndarray:
    """Waves and noise: uint8 [count, 352, 640, 3], blue-green-red."""
    row, column = np.mgrid[0:352, 0:640].astype(np.float64)
    made = []
    for number in range(count):
        random = _generator("frame", number)
        frame = np.zeros((352, 640, 3))
        for channel in range(3):
            for _ in range(6):
                down, across, phase, height = (
                    random.uniform(low, high)
                    for low, high in ((0, 0.05), (0, 0.05), (0, 6.28), (5, 40))
                )
                wave = 2 * np.pi * (down * row + across * column) + phase
                frame[..., channel] += height * np.sin(wave)
        frame += 128 + random.standard_normal((352, 640, 1)) * (4 + 6 * number)
        made.append(np.clip(np.rint(frame), 0, 255).astype(np.uint8))
    return np.stack(made)


def _generator(*purpose: object) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32("/".join(map(str, (SEED, *purpose))).encode()))


def _value(model: str, name: str, shape: list[int]) -> np.ndarray:
    """One weight, sized so that activations neither die nor explode on the way to the level."""
    random = _generator(model, name)
    kind = name.split("/")[1].split(":")[0]
    of_pixels = shape == [3]
    if kind == "kernel":
        scale = _kernel_scale(model, name, shape)
        return random.standard_normal(shape) * scale
    if kind == "bias":
        if shape == [1]:
            return np.array([{"JND2": 31.0, "JND3": 34.0}.get(name[:4], 27.0)])
        return (
            128 + random.standard_normal(shape)
            if of_pixels
            else random.standard_normal(shape) * 0.05
        )
    if kind == "gamma":
        return random.uniform(0.5, 1.5, shape)
    if kind == "beta":
        return random.standard_normal(shape) * 0.1
    if kind == "moving_mean":
        return random.standard_normal(shape) * (5 if of_pixels else 0.1) + (128 if of_pixels else 0)
    return random.uniform(0.5, 1.5, shape) * (2500 if of_pixels else 1)


def _kernel_scale(model: str, name: str, shape: list[int]) -> float:
    gain = 1.0
    if "transpose" in name or "JNDImg" in name:
        inputs = shape[0] * shape[1] * shape[3] / 4
        gain = 20.0 if shape[2] == 3 else 1.0
    elif len(shape) == 4:
        inputs = float(np.prod(shape[:3]))
        gain = 1 / 64 if shape[:3] == [5, 5, 3] else 1.0
    else:
        inputs = shape[0]
        if shape[1] == 1:
            gain = {"MJLAT": 0.2, "MJREC": 0.01}.get(model, 3.0)
    return gain * np.sqrt(2 / inputs)
