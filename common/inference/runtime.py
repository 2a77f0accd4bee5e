"""Choice between the two runtimes for trained models, OpenVINO and Keras."""

import functools
import importlib.metadata
import importlib.util
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ..base.constants import AUTO, KERAS, OPENVINO, PRECISIONS, RUNTIMES
from ..base.device import cpu_precision, describe_gpus, has_cuda, remark_on_libraries
from ..base.errors import UserError
from ..base.framework import tf
from ..models.descriptions import Description
from ..models.labels import Labels
from ..models.regression import Regression

_log = logging.getLogger(__name__)


class Runtime(NamedTuple):
    """A loaded model, which any number of threads may run at once.

    `levels` maps frames, uint8 [frames, 352, 640, 3], blue-green-red, to float32 [frames, levels];
    `levels_of_latents` maps the latents of one frame, float32 [22, 40, 192] per backbone, to
    float32 [levels].
    """

    levels: Callable[[np.ndarray], np.ndarray]
    levels_of_latents: Callable[[Sequence[np.ndarray]], np.ndarray]
    analyses: Sequence[str]  # checksum of the weights of each backbone's analysis transform
    labels: Labels  # on which the model was trained
    regression: Regression | None  # beside the head, if the weight file has one


class Choice(NamedTuple):
    """A runtime and a precision."""

    runtime: str  # OPENVINO or KERAS
    precision: str  # "float32" or "bfloat16"


@functools.cache
def choose_runtime(runtime: str, precision: str, /) -> Choice:
    """Choose the runtime and the precision, and log the choice once.

    The runtime "auto" is Keras on a CUDA GPU, otherwise OpenVINO if it is installed. The precision
    "auto" is bfloat16 if OpenVINO runs on a processor with bfloat16 arithmetic.

    Raises:
        UserError: there is no such runtime or precision, or OpenVINO is requested but missing.
    """
    if runtime not in RUNTIMES:
        raise UserError(f"{runtime}: no such runtime; there are {', '.join(RUNTIMES)}")
    if precision not in PRECISIONS:
        raise UserError(f"{precision}: no such precision; there are {', '.join(PRECISIONS)}")
    remark = ""
    if runtime != OPENVINO:
        if (runtime == KERAS or has_cuda()) and (names := describe_gpus()):
            precision = "float32" if precision == AUTO else precision
            line = f"Running on {names[0]} with Keras in {precision}."
            for each in (line, *names[1:]):
                _log.info(each)
            return Choice(KERAS, precision)
        remark = remark_on_libraries()
    installed = importlib.util.find_spec("openvino") is not None
    if not installed:
        if runtime == OPENVINO:
            raise UserError("--runtime openvino needs OpenVINO: pip install openvino")
        remark += " OpenVINO, which is faster, is not installed."
    runtime = OPENVINO if installed and runtime == AUTO else runtime.replace(AUTO, KERAS)
    if runtime == KERAS and precision == AUTO:
        precision = "float32"  # its bfloat16 is less accurate than OpenVINO's
    precision, precision_remark = cpu_precision(precision)
    title = {KERAS: "Keras", OPENVINO: "OpenVINO"}[runtime]
    _log.info("Running on the CPU with %s in %s.%s%s", title, precision, remark, precision_remark)
    return Choice(runtime, precision)


def fingerprint(choice: Choice) -> str:
    """Name the library, its version and the precision, on which levels depend."""
    package = {KERAS: "tensorflow", OPENVINO: "openvino"}[choice.runtime]
    return f"{package} {importlib.metadata.version(package)} in {choice.precision}"


def load_runtime(
    choice: Choice, description: Description, weights: Path, cache: Path | None
) -> Runtime:
    """Load a model with the weights in a file.

    Args:
        cache: folder of models converted for OpenVINO; None: use no cache.

    Raises:
        UserError: the weights are damaged, or another model's.
    """
    with warnings.catch_warnings():  # undoes the filters that libraries add when imported
        implementation = _import_implementation(choice)
        return implementation.load(description, weights, choice.precision, cache)


def load_analysis(choice: Choice, analysis: "tf.keras.Model") -> Callable[[np.ndarray], np.ndarray]:
    """Load an analysis transform in float32, as a `codec.latent_codec.Analyse`.

    For frames of 640x352, its latents are bit-identical to those of the model that has this
    backbone.
    """
    return _import_implementation(choice).load_analysis(analysis)


def _import_implementation(choice: Choice) -> ModuleType:
    """Import the module of a runtime, which has the functions `load` and `load_analysis`."""
    if choice.runtime == KERAS:
        from . import keras

        return keras
    from . import openvino

    return openvino
