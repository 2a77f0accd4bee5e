"""What predicting from strings costs and spoils, beside predicting from pixels."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...base.constants import HEIGHT, LEVELS, WIDTH
from ...base.files import checksum
from ...base.framework import tf
from ...base.progress import Progress
from ...codec.entropy_model import build_coder, build_prior, entropy_file, read_prior
from ...codec.range_coding import Coder
from ...codec.sources import Source, read_sources
from ...data.frames import read_frame
from ...data.split import Split
from ...inference.predictor import Predictor
from ...inference.runtime import load_analysis
from ...models.backbone import build_backbone
from ...models.build import build_model
from ...models.weights import read_weights
from ..cache import cache_file, fetch
from ..speed import describe_machine
from .candidates import Candidate
from .complexity import count_multiply_accumulates
from .table import Table

# What a head may see, and frames whose times are taken, anew in every run, after a first.
PIXELS, ROUNDED, STRINGS, DECODED = WAYS = (
    "pixels",
    "rounded latents",
    "strings",
    "the picture decoded from a string",
)
TIMED = 8


class _Codec(NamedTuple):
    """What codes for a model, and what decodes the picture of its first backbone, if known."""

    predictor: Predictor
    analyses: list[Callable[[np.ndarray], np.ndarray]]
    coders: list[Coder]
    synthesise: Callable[[tf.Tensor], tf.Tensor] | None


def from_strings(split: Split, candidates: list[Candidate], cache: Path) -> list[Table]:
    """Errors and costs of the models whose entropy models lie beside their weights; none: no table.

    A row per weight file and way: from pixels, from latents rounded as a decoder has them, from
    strings, and, where the weight file of the first backbone lies there, too, from the picture that
    its string decodes to. Levels are kept in `cache`, frame by frame.
    """
    rows = []
    for candidate in candidates:
        sees_latents = candidate.description.sees == "latent"
        if sees_latents and all(map(Path.exists, _priors(candidate))):
            rows += _rows(split, candidate, cache)
    if not rows:
        return []
    table = Table(
        "bitstream",
        "From the bitstream",
        "Mean absolute errors of the levels predicted from pixels; from latents rounded as a "
        "decoder has them; from the range coder's strings; and from the picture that the first "
        "string decodes to. Multiply-accumulates per frame; CPU seconds per frame, from what is "
        f"named to levels, the mean of {TIMED} frames, measured in this run on "
        f"{describe_machine()}; of these, what the range coder takes, which has no "
        f"multiply-accumulates. {split.caption}",
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


def _priors(candidate: Candidate) -> list[Path]:
    if candidate.description.multitask:
        return [entropy_file(candidate.file, level) for level in LEVELS]
    return [entropy_file(candidate.file)]


def _rows(split: Split, candidate: Candidate, cache: Path) -> list[dict]:
    codec = _codec(candidate)
    levels, bits = _kept_levels(split, candidate, codec, cache)
    seconds, decoding = _times(split, codec)
    model = build_model(candidate.description)
    parts = model.predicting, model.head, build_backbone().synthesis
    whole, head, synthesis = (count_multiply_accumulates(part).total() for part in parts)
    counts = {PIXELS: whole, ROUNDED: whole, STRINGS: head, DECODED: synthesis + whole}
    rows = []
    for number, way in enumerate(WAYS):
        if way == DECODED and not codec.synthesise:
            continue
        row: dict[str, Any] = {
            "model": candidate.description.title,
            "weights": str(candidate.file),
            "way": way,
        }
        for place, level in enumerate(codec.predictor.names):
            row[level] = np.abs(levels[:, number, place] - split.true(level)).mean()
        row |= {"multiply_accumulates": counts[way], "cpu_seconds": seconds[way]}
        of_strings = 0 if way == PIXELS else len(codec.coders) if way != DECODED else 1
        if of_strings:
            row["bits_per_pixel"] = bits[:, :of_strings].sum(axis=1).mean()
        if way in (STRINGS, DECODED):
            row["entropy_decoding"] = decoding / len(codec.coders) * of_strings
        rows.append({**dict.fromkeys(LEVELS, np.nan), **row})
    return rows


def _codec(candidate: Candidate) -> _Codec:
    """What codes for a candidate's model."""
    targets = LEVELS if candidate.description.multitask else [candidate.level]
    sources = read_sources(candidate.description, [candidate.file], targets)
    predictor = Predictor(candidate.description.name, candidate.file, candidate.level)
    coders = []
    for source in sources:
        prior = build_prior()
        read_prior(prior, source.backbone.whole, source.entropy)
        coders.append(build_coder(prior))
    analyses = [load_analysis(predictor.choice, source.backbone.analysis) for source in sources]
    return _Codec(predictor, analyses, coders, _synthesis(sources[0], candidate.file.parent))


def _synthesis(source: Source, folder: Path) -> Callable | None:
    """The synthesis transform that belongs to an analysis transform, if `folder` has it."""
    path = folder / f"{source.target}Reconstruction.h5"
    if not path.exists():
        return None
    backbone = build_backbone()
    read_weights(backbone.whole, path)
    pairs = zip(backbone.analysis.get_weights(), source.backbone.analysis.get_weights())
    same = all(np.array_equal(one, other) for one, other in pairs)
    return tf.function(backbone.synthesis) if same else None


def _kept_levels(
    split: Split, candidate: Candidate, codec: _Codec, cache: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Levels [images, ways, levels] and bits per pixel [images, backbones]."""
    weights = checksum(map(Path.read_bytes, [candidate.file, *_priors(candidate)]))
    inputs = candidate.description.name, weights, bool(codec.synthesise)
    levels, bits = [], []
    for image in Progress(split.images, "from strings", unit="frame"):
        file = cache_file(cache, "strings", *inputs, image)
        of_image = fetch(file, ("levels", "bits"), lambda: _levels(codec, read_frame(image)))  # noqa: B023
        levels.append(of_image[0])
        bits.append(of_image[1])
    return np.stack(levels), np.stack(bits)


def _levels(codec: _Codec, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels [ways, levels] and bits per pixel [backbones] of a frame, as `read_frame` gives it."""
    predictor, latents = codec.predictor, _latents(codec, frame)
    rounded = [
        np.rint(latent - coder.offset) + coder.offset
        for latent, coder in zip(latents, codec.coders)
    ]
    strings = [coder.compress(latent[None])[0] for latent, coder in zip(latents, codec.coders)]
    levels = [
        predictor.levels(frame[..., ::-1]),
        predictor.levels_of_latents(rounded),
        predictor.levels_of_latents(_decoded(codec, strings)),
        np.full(len(predictor.names), np.nan),
    ]
    if codec.synthesise:
        levels[-1] = _of_decoded(codec, strings[0])
    bits = [8 * len(string) / (HEIGHT * WIDTH) for string in strings]
    return np.array(levels, np.float32), np.array(bits)


def _latents(codec: _Codec, frame: np.ndarray) -> list[np.ndarray]:
    return [analyse(frame) for analyse in codec.analyses]


def _decoded(codec: _Codec, strings: list[bytes]) -> list[np.ndarray]:
    places = HEIGHT // 16, WIDTH // 16
    pairs = zip(codec.coders, strings)
    return [np.asarray(coder.decompress([string], places))[0] for coder, string in pairs]


def _picture(codec: _Codec, string: bytes) -> np.ndarray:
    """What the first string decodes to, red-green-blue."""
    (latent,) = _decoded(codec, [string])
    frame = codec.synthesise(tf.constant(latent[np.newaxis]))[0]
    return tf.saturate_cast(tf.round(frame), tf.uint8).numpy()[..., ::-1]


def _of_decoded(codec: _Codec, string: bytes) -> np.ndarray:
    """The levels of the picture that the first string decodes to."""
    return codec.predictor.levels(_picture(codec, string))


def _times(split: Split, codec: _Codec) -> tuple[dict[str, float], float]:
    """CPU seconds per frame of each of the `WAYS`, and of decoding all strings of a frame."""
    predictor = codec.predictor
    spent: dict[str, list[float]] = {}

    def timed(name: str, run: Callable[..., object], *given: object) -> None:
        before = time.process_time()
        run(*given)
        spent.setdefault(name, []).append(time.process_time() - before)

    for image in [split.images[0], *split.images[:TIMED]]:
        frame = read_frame(image)
        latents = _latents(codec, frame)
        strings = [coder.compress(latent[None])[0] for latent, coder in zip(latents, codec.coders)]
        timed(PIXELS, predictor.levels, frame[..., ::-1])
        timed("decoding", _decoded, codec, strings)
        timed("head", predictor.levels_of_latents, latents)
        if codec.synthesise:
            timed(DECODED, _of_decoded, codec, strings[0])
    means = {name: float(np.mean(values[1:])) for name, values in spent.items()}
    means[STRINGS] = means["decoding"] + means["head"]
    # Rounding takes nothing beside the analysis transforms.
    return {**dict.fromkeys(WAYS, means[PIXELS]), **means}, means["decoding"]
