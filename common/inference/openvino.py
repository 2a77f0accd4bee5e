"""OpenVINO runtime, which needs TensorFlow only to convert a model for the first time.

A model is one graph from frames to levels. The head alone, for latents from files, is cut out of
this graph. Both are compiled when first used.
"""

import functools
import json
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..base.constants import HEIGHT, WIDTH
from ..base.device import precision_policy
from ..base.files import checksum
from ..base.framework import tf
from ..base.temporary import temporary_folder
from ..models.descriptions import Description
from ..models.labels import Labels
from ..models.regression import Regression
from .cache import load_or_make
from .runtime import Runtime

# Hide this package, so that OpenVINO sends no telemetry when it converts a model.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino as ov  # noqa: E402

LEVELS, FEATURES = "levels", "features"  # names of outputs
# The arrays of a converted model in the cache; those of a regression may follow.
_ARRAYS = {"graph", "weights", "analyses", "labels"}
_PROGRAM = Path(__file__).parents[1]
# One stream that uses all cores is as fast as several, in half the memory. With pinned threads, two
# processes might compete for the same cores.
_SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}


class _Converted(NamedTuple):
    """A model in OpenVINO's form, with outputs LEVELS and, if its head takes latents, FEATURES."""

    graph: ov.Model
    analyses: list[str]
    labels: Labels
    regression: Regression | None


def load(description: Description, weights: Path, precision: str, cache: Path | None) -> Runtime:
    """Load a model for OpenVINO, if possible from the cache of converted models.

    Args:
        cache: the cache's folder; None: use no cache.

    Raises:
        UserError: the weights are damaged, or another model's.
    """
    converted = _read_or_convert(description, weights, precision, cache)
    graph = converted.graph
    # In float32, batches are no faster than single frames, and take twice the memory.
    batch = description.test_batch if precision == "bfloat16" else 1
    lock = threading.Lock()

    @functools.cache
    def compile_for(frames: int) -> ov.CompiledModel:
        return _compile(_cut_model(graph, frames) if frames else _cut_head(graph), precision)

    def run(frames: int, inputs: Sequence[np.ndarray]) -> np.ndarray:
        with lock:
            model = compile_for(frames)
        return model.create_infer_request().infer(list(inputs))[0]

    def levels(frames: np.ndarray) -> np.ndarray:
        whole = len(frames) // batch * batch
        starts = [*range(0, whole, batch), *range(whole, len(frames))]
        ends = [*starts[1:], len(frames)]
        parts = [frames[start:end] for start, end in zip(starts, ends)]
        return np.concatenate([run(len(part), [part]) for part in parts])

    def levels_of_latents(latents: Sequence[np.ndarray]) -> np.ndarray:
        return run(0, [latent.transpose(2, 0, 1)[np.newaxis] for latent in latents])[0]

    return Runtime(levels, levels_of_latents, *converted[1:])


def load_analysis(analysis: "tf.keras.Model") -> Callable[[np.ndarray], np.ndarray]:
    """Load an analysis transform for OpenVINO."""
    signature = [tf.TensorSpec([1, None, None, 3], tf.uint8)]
    function = tf.function(lambda frames: analysis(tf.cast(frames, tf.float32)), signature)
    model = _compile(_convert_function(function.get_concrete_function()), "float32")
    return lambda frame: model.create_infer_request().infer([frame[np.newaxis]])[0][0]


def _compile(graph: ov.Model, precision: str) -> ov.CompiledModel:
    kind = {"float32": "f32", "bfloat16": "bf16"}[precision]
    settings = {**_SETTINGS, "INFERENCE_PRECISION_HINT": kind}
    return ov.Core().compile_model(graph, "CPU", settings)


def _cut_model(graph: ov.Model, frames: int) -> ov.Model:
    """Cut out the part that maps a fixed number of frames to levels."""
    graph = graph.clone()
    whole = ov.Model([graph.output(LEVELS).get_node()], graph.get_parameters())
    whole.reshape([frames, HEIGHT, WIDTH, 3])
    return whole


def _cut_head(graph: ov.Model) -> ov.Model:
    """Cut out the part that maps the latents of one frame to levels.

        before: frame ─ analysis ─ source ─┬─ output FEATURES
                                           └─ head ─ output LEVELS
        after:                     parameter ─ head ─ output LEVELS

    Each backbone has a source of its own, and so the head has a parameter for each.
    """
    graph, latents = graph.clone(), []
    for number in range(len(graph.outputs) - 1):
        source = graph.output(f"{FEATURES}{number}").get_node().input_value(0)
        # One frame; the other sides are known.
        shape = [1, *(side.get_length() for side in list(source.get_partial_shape())[1:])]
        latents.append(ov.opset13.parameter(shape, np.float32))
        for user in source.get_target_inputs():
            user.replace_source_output(latents[-1].output(0))
    return ov.Model([graph.output(LEVELS).get_node()], latents)


def _read_or_convert(
    description: Description, weights: Path, precision: str, cache: Path | None
) -> _Converted:
    def convert() -> _Converted:
        return _convert(description, weights, precision)

    if not cache:
        return convert()
    key = _cache_key(description, weights, precision)
    return _unpack(load_or_make(cache, key, _ARRAYS, lambda: _pack(convert())))


def _cache_key(description: Description, weights: Path, precision: str) -> str:
    """Make the cache key of a converted model from its weights, our code and OpenVINO's version."""
    sources = [*_PROGRAM.glob("models/*.py"), *_PROGRAM.glob("inference/*.py")]
    parts = [path.read_bytes() for path in [_PROGRAM / "base/constants.py", *sorted(sources)]]
    settings = f"{description.name} {precision} {ov.get_version()}".encode()
    with weights.open("rb") as file:
        weights_digest = checksum(iter(lambda: file.read(2**20), b""))
    return checksum([checksum(parts).encode(), settings, weights_digest.encode()])


def _convert_function(function: "tf.types.experimental.ConcreteFunction") -> ov.Model:
    if sys.version_info >= (3, 13):
        # OpenVINO 2026.4 finds TensorFlow's version by two calls of `exec`, and the second one no
        # longer sees the names that the first defines (PEP 667).
        from openvino.frontend.tensorflow import utils

        utils.get_environment_setup = lambda _: {"tensorflow": tf.__version__}
    # Shared weights would lie in TensorFlow's memory, which is used again once the model is freed.
    return ov.convert_model(function, share_weights=False)


def _convert(description: Description, weights: Path, precision: str) -> _Converted:
    from .keras import build_graph

    with precision_policy("float32"):
        model = build_graph(description, weights, precision)

    @tf.function(input_signature=[tf.TensorSpec([None, HEIGHT, WIDTH, 3], tf.uint8)])
    def whole(frames: tf.Tensor) -> dict[str, tf.Tensor]:
        features = model.features(frames)
        outputs = {LEVELS: tf.concat(model.head(features), axis=1)}
        if description.sees == "latent":
            # Channels first, as in OpenVINO, so that these outputs and the head share their source.
            latents = [tf.transpose(each, (0, 3, 1, 2)) for each in features]
            outputs |= {f"{FEATURES}{number}": latent for number, latent in enumerate(latents)}
        return outputs

    graph = _convert_function(whole.get_concrete_function())
    return _Converted(graph, model.analyses, model.labels, model.regression)


def _pack(model: _Converted) -> dict[str, Any]:
    """Serialize a model as arrays for a file."""
    with temporary_folder() as folder:
        path = folder / "model.xml"
        ov.save_model(model.graph, path, compress_to_fp16=False)
        xml, weights = (
            np.frombuffer(path.with_suffix(suffix).read_bytes(), np.uint8)
            for suffix in (".xml", ".bin")
        )
    labels = json.dumps(model.labels.to_fields())
    arrays = {"graph": xml, "weights": weights, "analyses": model.analyses, "labels": labels}
    regression = model.regression.to_arrays() if model.regression else {}
    return {name: np.asarray(value) for name, value in (arrays | regression).items()}


def _unpack(arrays: dict[str, np.ndarray]) -> _Converted:
    weights = ov.Tensor(np.ascontiguousarray(arrays["weights"]))  # copied, so that OpenVINO owns it
    graph = ov.Core().read_model(arrays["graph"].tobytes(), weights)
    labels = Labels.from_fields(json.loads(str(arrays["labels"])))
    regression = Regression.from_arrays(arrays) if arrays.keys() > _ARRAYS else None
    return _Converted(graph, arrays["analyses"].tolist(), labels, regression)
