"""Pictures to coded pictures, and these to pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..base.errors import UserError, report_skipped
from ..base.files import OUR_PNG, atomic_write
from ..base.framework import tf
from ..codec.bitstream import (
    MOST_PLACES,
    OWN,
    STRIDE,
    CodedLatent,
    CodedPicture,
    packed,
    read_coded,
    symbols_checksum,
)
from ..codec.decoding import decoded
from ..codec.entropy_model import build_coder, build_prior, prior_checksum, read_prior
from ..codec.sources import Source
from ..data.frames import fit
from ..data.pictures import read_rgb
from ..data.side_by_side import png_software
from ..data.text import readable
from .compression_files import CODED
from .runtime import AUTO, choose_runtime, load_analysis

Code = Callable[[np.ndarray], CodedLatent]


def compress(
    sources: Sequence[Source], inputs: list[tuple[Path, Path]], view: str, overwrite: bool
) -> tuple[list[dict], list[dict]]:
    """Write each picture, the first of a pair, as the coded picture that is the second.

    Args:
        view: a view of `data.frames.fit` that shows one frame, or OWN: the picture's own size.
        overwrite: also replace files that are not coded pictures.

    Returns:
        For each picture what it is and its bits per pixel, by target; and of those that cannot be
        read, which are told on stderr, the errors.

    Raises:
        UserError: an entropy model is not there, or belongs to another backbone.
    """
    coders = [_code(source) for source in sources]

    def one(path: Path, target: Path) -> dict:
        rgb = read_rgb(path)
        height, width = rgb.shape[:2]
        picture = CodedPicture(height, width, view, [])
        if np.prod(picture.places) > MOST_PLACES:
            message = f"{width}x{height} pixels at its own size take too much memory"
            raise UserError(f"{path}: {message}; the other views take part of it")
        frame = _padded(rgb) if view == OWN else fit(rgb, view)[0]
        picture = picture._replace(latents=[code(frame[..., ::-1]) for code in coders])
        data = packed(picture)
        with atomic_write(target, CODED, overwrite) as beside:
            beside.write_bytes(data)
        pixels = np.prod(picture.places) * STRIDE**2
        bits = {each.target: 8 * len(each.string) / pixels for each in picture.latents}
        about = {"file": readable(path), "out": readable(target), "width": width}
        return {**about, "height": height, "bytes": len(data), "bits_per_pixel": bits}

    return _of_each(inputs, one)


def decompress(
    source: Source, inputs: list[tuple[Path, Path]], overwrite: bool
) -> tuple[list[dict], list[dict]]:
    """Write what `source` reconstructs from each coded picture, the first of a pair, as the second.

    The output is a PNG of the coded size. With `overwrite`, it also replaces pictures that this
    program did not make.

    Returns:
        As `compress`.
    """
    synthesise = tf.function(source.backbone.synthesis, reduce_retracing=True)
    _, checksum = source.checksums

    def one(path: Path, target: Path) -> dict:
        picture = read_coded(path)
        latent = next((each for each in picture.latents if each.backbone == checksum), None)
        if latent is None:
            has = ", ".join(f"{each.target} {each.backbone[:8]}" for each in picture.latents)
            raise UserError(
                f"{path}: coded by the backbones {has}, not by this one for {source.target}, "
                f"{checksum[:8]}"
            )
        try:
            values = decoded(latent, picture.places, [source.entropy.parent])
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        frame = synthesise(tf.constant(values[np.newaxis]))[0]
        rgb = tf.saturate_cast(tf.round(frame), tf.uint8).numpy()[..., ::-1]
        if picture.view == OWN:
            rgb = rgb[: picture.height, : picture.width]
        with atomic_write(target, OUR_PNG, overwrite) as beside:
            Image.fromarray(rgb).save(beside, "PNG", pnginfo=png_software())
        size = {"width": rgb.shape[1], "height": rgb.shape[0]}
        return {"file": readable(path), "out": readable(target), **size}

    return _of_each(inputs, one)


def _of_each(
    inputs: list[tuple[Path, Path]], one: Callable[[Path, Path], dict]
) -> tuple[list[dict], list[dict]]:
    done, errors = [], []
    for path, target in tqdm(inputs, unit="picture", disable=None, leave=False):
        try:
            done.append(one(path, target))
        except UserError as error:
            report_skipped(error)
            errors.append({"file": readable(path), "error": str(error)})
    return done, errors


def _code(source: Source) -> Code:
    """What codes a frame uint8 [height, width, 3], blue-green-red, sides multiples of 16."""
    if not source.entropy.exists():
        raise UserError(
            f"{source.entropy}: no such file; python3 -m common.reconstruct prior makes this "
            "entropy model"
        )
    prior = build_prior()
    read_prior(prior, source.backbone.whole, source.entropy)
    coder, checksums = build_coder(prior), (*source.checksums, prior_checksum(prior))
    analyse = load_analysis(choose_runtime(AUTO, "float32"), source.backbone.analysis)

    def code(frame: np.ndarray) -> CodedLatent:
        latent = analyse(frame)[np.newaxis]
        (string,) = coder.compress(latent)
        _, height, width, _ = latent.shape
        values = np.asarray(coder.decompress([string], (height, width)))[0]
        return CodedLatent(
            source.target, *checksums, symbols_checksum(values, coder.offset), string
        )

    return code


def _padded(rgb: np.ndarray) -> np.ndarray:
    """A picture with its last row and column repeated up to multiples of 16."""
    below, right = (-side % STRIDE for side in rgb.shape[:2])
    return np.pad(rgb, ((0, below), (0, right), (0, 0)), "edge")
