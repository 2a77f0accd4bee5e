"""Evaluation of a backbone: the quality and the bits of its reconstructions.

With an entropy model beside the weight file, latents are range-coded, bits are those of the
strings, and reconstructions are decoded from the strings; otherwise bits are not measured, and
latents are not rounded. Reconstructions are rounded to 8 bits. PSNR is 10 log10(255^2 / mean
squared error over the three channels), SSIM is that of Wang et al., IEEE TIP 2004, averaged over
the channels; both are averaged over images.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..base.device import choose_device
from ..base.framework import tf
from ..base.progress import Progress
from ..codec.bitstream import STRIDE
from ..codec.latent_codec import LatentCodec
from ..data.frames import decode_frames, raise_first
from ..data.side_by_side import write_side_by_side
from ..data.text import readable
from .results import OF_BACKBONE, check_results, clear_results, write_csv

SHOWN = 4  # number of frames in the picture


class BackboneResults(NamedTuple):
    """The mean measures of a backbone, and the files that were written."""

    images: int
    means: dict[str, float]  # psnr, ssim and, if known, bits_per_pixel, jnd_psnr and jnd_ssim
    frames: Path  # CSV file with a line per image
    picture: Path


def evaluate_backbone(
    target: str,
    folder: Path,
    images: list[Path],
    jnd_frames: list[Path] | None,
    weights_file: Path,
    result_path: Path,
    overwrite: bool = False,
) -> BackboneResults:
    """Measure the reconstructions of the `images` in `folder`, and write the results.

    The files in `result_path` are Reconstruction_frames.csv (a line per image),
    Reconstruction_metrics.csv (means) and Reconstruction.png (some frames side by side), with
    `target` before each name. Earlier results are replaced, but other files only with `overwrite`.

    Raises:
        UserError: the weights are another model's, or an image cannot be read.
    """
    results = result_path, OF_BACKBONE, overwrite, target
    check_results(*results)
    choose_device("float32")
    codec = LatentCodec.from_backbone(target, weights_file)
    rows = []
    shown: list[list[tuple[str, np.ndarray]]] = []
    pairs = decode_frames([images, jnd_frames or images], np.arange(len(images)))
    for number, error, *pair in Progress(pairs, "testing", len(images), "frame"):
        raise_first(error)
        frame, jnd_frame = (each.numpy() for each in pair)
        reconstruction, measures = _measure(codec, frame, jnd_frame if jnd_frames else None)
        image = readable(images[number].relative_to(folder))
        rows.append({"image": image, **measures})
        if len(shown) < SHOWN:
            shown.append([(image, frame[..., ::-1])])
            shown[-1] += [(f"{target} frame", jnd_frame[..., ::-1])] if jnd_frames else []
            shown[-1].append((_caption(measures), reconstruction[..., ::-1]))

    frames, metrics, picture = clear_results(*results)
    table = pd.DataFrame(rows)
    means = table.drop(columns="image").mean()
    write_csv(table, frames, float_format="%.6f")
    write_csv(means.to_frame().T.assign(images=len(table)), metrics, float_format="%.6f")
    write_side_by_side(picture, shown)
    return BackboneResults(len(table), means.to_dict(), frames, picture)


def _measure(
    codec: LatentCodec, frame: np.ndarray, jnd_frame: np.ndarray | None
) -> tuple[np.ndarray, dict[str, float]]:
    """Reconstruct a frame, uint8 [height, width, 3]; return it and its measures by name.

    With an entropy model, these begin with its bits per pixel.
    """
    latent, measures = codec.latents(frame), {}
    if codec.entropy_file.exists():
        coded = codec.encode(latent)
        height, width = frame.shape[:2]
        latent = codec.decompress(coded, (height // STRIDE, width // STRIDE))
        measures["bits_per_pixel"] = 8 * len(coded.string) / (height * width)
    reconstruction = codec.synthesise(latent)
    measures |= _compare(frame, reconstruction)
    if jnd_frame is not None:
        compared = _compare(jnd_frame, reconstruction)
        measures |= {f"jnd_{name}": value for name, value in compared.items()}
    return reconstruction, measures


def _compare(frame: np.ndarray, reconstruction: np.ndarray) -> dict[str, float]:
    """Compute the PSNR in dB and the SSIM of two frames, uint8 [height, width, 3]."""
    pair = tf.constant(frame), tf.constant(reconstruction)
    measures = {"psnr": tf.image.psnr, "ssim": tf.image.ssim}
    return {name: float(measure(*pair, max_val=255)) for name, measure in measures.items()}


def _caption(measures: dict[str, float]) -> str:
    caption = f"reconstruction, {measures.get('jnd_psnr', measures['psnr']):.2f} dB"
    if "bits_per_pixel" in measures:
        caption += f", {measures['bits_per_pixel']:.3f} bits per pixel"
    return caption
