"""What runs a trained model, and which of the two does it here."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from common.device import cpu_precision, describe_gpus, has_cuda, remark_on_libraries
from common.errors import UserError
from common.models.descriptions import Description

if TYPE_CHECKING:
    from common.framework import tf

AUTO, KERAS, OPENVINO = "auto", "keras", "openvino"
RUNTIMES = (AUTO, OPENVINO, KERAS)


class Runtime(NamedTuple):
    """A trained model that is ready to run, in any number of threads at once.

    `levels` takes frames uint8 [frames, 352, 640, 3], blue-green-red, and gives float32
    [frames, levels]; `levels_of_latents` takes what the head sees of one frame, float32
    [22, 40, 192] per backbone, and gives float32 [levels].
    """

    levels: Callable[[np.ndarray], np.ndarray]
    levels_of_latents: Callable[[Sequence[np.ndarray]], np.ndarray]
    analyses: Sequence[str]  # a checksum of the weights of each backbone's analysis transform


class Choice(NamedTuple):
    """What predicts on this machine."""

    runtime: str  # OPENVINO or KERAS
    precision: str  # "float32" or "bfloat16"


@functools.cache
def choose_runtime(runtime: str, precision: str, /) -> Choice:
    """Decide what predicts, and in which precision; one line on stderr says so, once.

    Keras does on a CUDA GPU, OpenVINO on a CPU where it is installed. A `precision` of "auto" is
    bfloat16 where OpenVINO runs on a processor that multiplies in it.

    Raises:
        UserError: OpenVINO was asked for and is not installed.
    """
    remark = ""
    if runtime != OPENVINO:
        if (runtime == KERAS or has_cuda()) and (names := describe_gpus()):
            precision = "float32" if precision == AUTO else precision
            line = f"Running on {names[0]} with Keras in {precision}."
            print(line, *names[1:], sep="\n", file=sys.stderr)
            return Choice(KERAS, precision)
        remark = remark_on_libraries()
    installed = importlib.util.find_spec("openvino") is not None
    if not installed:
        if runtime == OPENVINO:
            raise UserError("--runtime openvino needs OpenVINO: pip install openvino")
        remark += " OpenVINO, which is faster, is not installed."
    runtime = OPENVINO if installed and runtime == AUTO else runtime.replace(AUTO, KERAS)
    if runtime == KERAS and precision == AUTO:
        precision = "float32"  # in bfloat16 its levels stray further than OpenVINO's
    precision, of_precision = cpu_precision(precision)
    title = {KERAS: "Keras", OPENVINO: "OpenVINO"}[runtime]
    print(f"Running on the CPU with {title} in {precision}.{remark}{of_precision}", file=sys.stderr)
    return Choice(runtime, precision)


def fingerprint(choice: Choice) -> str:
    """Name the library with its version, and the precision: levels depend on these."""
    package = {KERAS: "tensorflow", OPENVINO: "openvino"}[choice.runtime]
    return f"{package} {importlib.metadata.version(package)} in {choice.precision}"


def load_runtime(
    choice: Choice, description: Description, weights: Path | None, cache: Path | None
) -> Runtime:
    """Make a model with the weights in a file (random ones if None) ready to run.

    Args:
        cache: folder where OpenVINO's form of it is kept, if it is to be.

    Raises:
        UserError: the weights are damaged, or another model's.
    """
    if choice.runtime == KERAS:
        from common.inference.keras import load_with_keras

        return load_with_keras(description, weights, choice.precision)
    from common.inference.openvino import load_with_openvino

    return load_with_openvino(description, weights, choice.precision, cache)


def load_analysis(choice: Choice, analysis: tf.keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Make an analysis transform ready to run, in float32.

    It takes a frame uint8 [height, width, 3], blue-green-red, sides multiples of 16, and gives its
    latent float32 [height / 16, width / 16, 192]. Of a frame of 640x352 that is what the model with
    the same backbone computes, bit by bit.
    """
    if choice.runtime == KERAS:
        from common.inference.keras import load_analysis_with_keras

        return load_analysis_with_keras(analysis)
    from common.inference.openvino import load_analysis_with_openvino

    return load_analysis_with_openvino(analysis)
