"""Errors and costs of predicting from bitstreams, compared with predicting from pixels."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...base.constants import HEIGHT, LEVELS, WIDTH
from ...base.files import checksum
from ...base.progress import Progress
from ...codec.bitstream import STRIDE, CodedLatent
from ...codec.entropy_model import quantize
from ...codec.latent_codec import LatentCodec
from ...data.frames import read_frame
from ...data.split import Split
from ...inference.predictor import Predictor
from ...inference.runtime import load_analysis
from ...models.backbone import build_backbone
from ...models.build import build_model
from ...models.weight_paths import entropy_file
from ..cache import cache_file, fetch
from ..speed import describe_machine
from .candidates import Candidate
from .complexity import count_multiply_accumulates
from .table import Table

# The possible inputs of a prediction.
PIXELS, ROUNDED, STRINGS, DECODED = WAYS = (
    "pixels",
    "rounded latents",
    "bitstreams",
    "the picture decoded from a bitstream",
)
TIMED = 8  # number of frames, after one to warm up; timed anew in every run


class _Coding(NamedTuple):
    """A model, the codecs of its backbones, and a codec that decodes the first one's pictures."""

    predictor: Predictor
    codecs: list[LatentCodec]
    decoder: LatentCodec | None


def tabulate_bitstream(split: Split, candidates: list[Candidate], cache: Path) -> list[Table]:
    """Tabulate errors and costs of the models that have entropy models beside their weights.

    There is a row per weight file and input: pixels, quantized latents, strings and, if the first
    backbone's weight file is present, the picture decoded from its string. The levels of each frame
    are stored in `cache`.
    """
    rows = []
    for candidate in candidates:
        sees_latents = candidate.description.sees == "latent"
        if sees_latents and all(map(Path.exists, _entropy_files(candidate))):
            rows += _make_rows(split, candidate, cache)
    if not rows:
        return []
    table = Table(
        "bitstream",
        "From the bitstream",
        "Mean absolute errors of the levels that the heads predict from pixels, from quantized "
        "latents, from the range coder's strings, and from the picture that the first string "
        "decodes to. "
        "Multiply-accumulates per frame. CPU seconds per frame, from that input to levels: the "
        f"mean of {TIMED} frames, measured in this run on {describe_machine()}. Entropy decoding "
        f"is the range coder's part of them, without multiply-accumulates. {split.caption}",
        pd.DataFrame(rows),
        {
            "Model": "{model}",
            "From": "{way}",
            **{f"{level}, {split.codec.unit}": f"{{{level}:.2f}}" for level in LEVELS},
            "Bits per pixel": "{bits_per_pixel:.3f}",
            "Multiply-accumulates": "{multiply_accumulates:,}",
            "CPU s": "{cpu_seconds:.3f}",
            "Entropy decoding, CPU s": "{entropy_decoding:.3f}",
        },
    )
    return [table]


def _entropy_files(candidate: Candidate) -> list[Path]:
    if candidate.description.multitask:
        return [entropy_file(candidate.file, level) for level in LEVELS]
    return [entropy_file(candidate.file)]


def _make_rows(split: Split, candidate: Candidate, cache: Path) -> list[dict]:
    coding = _load(candidate)
    levels, bits = _cached_levels(split, candidate, coding, cache)
    seconds, decoding = _measure_times(split, coding)
    model = build_model(candidate.description)
    parts = model.predicting, model.head, build_backbone().synthesis
    whole, head, synthesis = (count_multiply_accumulates(part).total() for part in parts)
    counts = {PIXELS: whole, ROUNDED: whole, STRINGS: head, DECODED: synthesis + whole}
    rows = []
    for number, way in enumerate(WAYS):
        if way == DECODED and not coding.decoder:
            continue
        row: dict[str, Any] = dict.fromkeys(LEVELS, np.nan)
        row |= {"model": candidate.description.title, "weights": str(candidate.file), "way": way}
        for index, level in enumerate(coding.predictor.names):
            row[level] = np.abs(levels[:, number, index] - split.true(level)).mean()
        row |= {"multiply_accumulates": counts[way], "cpu_seconds": seconds[way]}
        if strings := {PIXELS: 0, DECODED: 1}.get(way, len(coding.codecs)):
            row["bits_per_pixel"] = bits[:, :strings].sum(axis=1).mean()
        if way in (STRINGS, DECODED):
            row["entropy_decoding"] = decoding / len(coding.codecs) * strings
        rows.append(row)
    return rows


def _load(candidate: Candidate) -> _Coding:
    """Load a candidate and its codecs, all for the same runtime.

    A regression beside the head is left out, since bitstream files have no pixels for it. The
    decoder is the backbone beside the weights, if it has the first codec's analysis transform.
    """
    description, file, level = candidate.description, candidate.file, candidate.level
    predictor = Predictor(description.name, file, level)
    predictor.regression = None
    load = functools.partial(load_analysis, predictor.choice)
    codecs = LatentCodec.from_model(description, file, level, load)
    decoder, target = None, codecs[0].target
    if (path := file.with_name(f"{target}Reconstruction.h5")).exists():
        decoder = LatentCodec.from_backbone(target, path)
        if decoder.analysis_checksum != codecs[0].analysis_checksum:
            decoder = None
    return _Coding(predictor, codecs, decoder)


def _cached_levels(
    split: Split, candidate: Candidate, coding: _Coding, cache: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Predict levels [images, ways, levels], and measure bits per pixel [images, backbones]."""
    weights = checksum(map(Path.read_bytes, [candidate.file, *_entropy_files(candidate)]))
    inputs = candidate.description.name, weights, bool(coding.decoder)
    levels, bits = [], []
    for image in Progress(split.images, "from bitstreams", unit="frame"):
        file = cache_file(cache, "heads", *inputs, image)
        predict = functools.partial(_predict_levels, coding, image)
        of_image = fetch(file, ("levels", "bits"), predict)
        levels.append(of_image[0])
        bits.append(of_image[1])
    return np.stack(levels), np.stack(bits)


def _predict_levels(coding: _Coding, image: Path) -> tuple[np.ndarray, np.ndarray]:
    """Predict levels [ways, levels] of an image, and measure bits per pixel [backbones]."""
    predictor, codecs, frame = coding.predictor, coding.codecs, read_frame(image)
    latents = [codec.latents(frame) for codec in codecs]
    offsets = (codec.entropy_model.coder.offset for codec in codecs)
    coded = [codec.encode(latent) for codec, latent in zip(codecs, latents)]
    levels = [
        predictor.levels(frame[..., ::-1]),
        predictor.levels_of_latents([quantize(*each).numpy() for each in zip(latents, offsets)]),
        predictor.levels_of_latents(_decode(coding, coded)),
        np.full(len(predictor.names), np.nan),
    ]
    if coding.decoder:
        levels[-1] = _predict_decoded(coding, coded)
    bits = [8 * len(each.string) / (HEIGHT * WIDTH) for each in coded]
    return np.array(levels, np.float32), np.array(bits)


def _decode(coding: _Coding, coded: list[CodedLatent]) -> list[np.ndarray]:
    """Decode one frame's quantized latents, one per string in `coded`."""
    size = HEIGHT // STRIDE, WIDTH // STRIDE
    return [codec.decompress(latent, size) for codec, latent in zip(coding.codecs, coded)]


def _predict_decoded(coding: _Coding, coded: list[CodedLatent]) -> np.ndarray:
    """Predict the levels of the picture that the first string decodes to."""
    assert coding.decoder
    (latent,) = _decode(coding, coded[:1])
    return coding.predictor.levels(coding.decoder.synthesise(latent)[..., ::-1])


def _measure_times(split: Split, coding: _Coding) -> tuple[dict[str, float], float]:
    """Measure CPU seconds per frame for each of the `WAYS`, and for entropy decoding."""
    predictor = coding.predictor
    spent: dict[str, list[float]] = {}

    def measure(name: str, run: Callable[..., object], *arguments: object) -> None:
        before = time.process_time()
        run(*arguments)
        spent.setdefault(name, []).append(time.process_time() - before)

    for image in [split.images[0], *split.images[:TIMED]]:
        frame = read_frame(image)
        coded = [codec.compress(frame) for codec in coding.codecs]
        measure(PIXELS, predictor.levels, frame[..., ::-1])
        measure("decoding", _decode, coding, coded)
        measure("head", predictor.levels_of_latents, _decode(coding, coded))
        if coding.decoder:
            measure(DECODED, _predict_decoded, coding, coded)
    means = {name: float(np.mean(values[1:])) for name, values in spent.items()}
    means[STRINGS] = means["decoding"] + means["head"]
    # The time of rounding is negligible.
    return {**dict.fromkeys(WAYS, means[PIXELS]), **means}, means["decoding"]
