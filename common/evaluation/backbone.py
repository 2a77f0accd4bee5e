"""What `test` of a backbone makes: how near its reconstructions come, and in how many bits.

Where the weight file's entropy model lies beside it, latents are range-coded to strings, bits are
those of the strings, and what is reconstructed is decoded from them; else there are no bits, and
latents are reconstructed as they are. Reconstructions are rounded to 8 bits. PSNR is 10 log10(255^2
/ mean squared error over the three channels), SSIM that of Wang et al., IEEE TIP 2004, the mean of
the three, both the mean over images.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..base.device import choose_device
from ..base.errors import printable, say
from ..base.framework import tf
from ..codec.entropy_model import build_coder, build_prior, entropy_file, read_prior
from ..data.frames import decode_frames, raise_first
from ..data.side_by_side import write_side_by_side
from ..data.text import readable
from ..models.backbone import build_backbone
from ..models.weights import read_weights
from .results import OF_BACKBONE, check_results, clear_results, write_csv

SHOWN = 4  # frames in the picture


def evaluate_backbone(
    target: str,
    folder: Path,
    images: list[Path],
    jnd_frames: list[Path] | None,
    weights_file: Path,
    result_path: Path,
    overwrite: bool = False,
) -> None:
    """Measure the reconstructions of the `images` in `folder`, and write to `result_path`:

    Reconstruction_frames.csv (a line per image), Reconstruction_metrics.csv (means) and
    Reconstruction.png (some frames side by side), with `target` in front of each name. Earlier
    results are deleted; files that this program did not write only with `overwrite`.

    Raises:
        UserError: the weights are another model's, or an image cannot be read.
    """
    how = result_path, OF_BACKBONE, overwrite, target
    check_results(*how)
    reconstruct = _reconstruction(weights_file)
    rows: list[dict[str, Any]] = []
    shown: list[list[tuple[str, np.ndarray]]] = []
    pairs = decode_frames([images, jnd_frames or images], np.arange(len(images)))
    for number, error, frame, jnd_frame in tqdm(
        pairs, total=len(images), unit="frame", disable=None
    ):
        raise_first(error)
        reconstruction, row = reconstruct(frame)
        row = {"image": readable(images[number].relative_to(folder)), **row}
        row["psnr"], row["ssim"] = _likeness(frame, reconstruction)
        if jnd_frames:
            row["jnd_psnr"], row["jnd_ssim"] = _likeness(jnd_frame, reconstruction)
        rows.append(row)
        if len(shown) < SHOWN:
            target_frame = [(f"{target} frame", _rgb(jnd_frame))] if jnd_frames else []
            caption = _caption(row), _rgb(reconstruction)
            shown.append([(row["image"], _rgb(frame)), *target_frame, caption])

    frames, metrics, picture = clear_results(*how)
    table = pd.DataFrame(rows)
    means = table.drop(columns="image").mean()
    write_csv(table, frames, float_format="%.6f")
    write_csv(means.to_frame().T.assign(images=len(table)), metrics, float_format="%.6f")
    write_side_by_side(picture, shown)
    say(f"{len(table)} images: {frames}, {picture}")
    print(_means(means, target, weights_file))


def _reconstruction(
    weights_file: Path,
) -> Callable[[tf.Tensor], tuple[tf.Tensor, dict[str, Any]]]:
    """What makes of a frame uint8 [height, width, 3] its reconstruction, and says its bits."""
    choose_device("float32")
    backbone = build_backbone()
    read_weights(backbone.whole, weights_file)
    analyse, synthesise = tf.function(backbone.analysis), tf.function(backbone.synthesis)
    coder = None
    if entropy_file(weights_file).exists():
        prior = build_prior()
        read_prior(prior, backbone.whole, entropy_file(weights_file))
        coder = build_coder(prior)

    def reconstruct(frame: tf.Tensor) -> tuple[tf.Tensor, dict[str, float]]:
        latent, bits = analyse(tf.cast(frame[tf.newaxis], tf.float32)), {}
        if coder:
            strings = coder.compress(latent)
            latent = coder.decompress(strings, latent.shape[1:3])
            pixels = frame.shape[0] * frame.shape[1]
            bits["bits_per_pixel"] = 8 * len(strings[0]) / pixels
        return tf.saturate_cast(tf.round(synthesise(latent)[0]), tf.uint8), bits

    return reconstruct


def _caption(row: dict[str, float]) -> str:
    caption = f"reconstruction, {row.get('jnd_psnr', row['psnr']):.2f} dB"
    if "bits_per_pixel" in row:
        caption += f", {row['bits_per_pixel']:.3f} bits per pixel"
    return caption


def _means(means: pd.Series, target: str, weights_file: Path) -> str:
    """The means of all images, as they are printed."""
    lines = [f"{'against the':14} PSNR dB    SSIM"]
    for name, of in (("raw frame", ""), (f"{target} frame", "jnd_")):
        if f"{of}psnr" in means:
            lines.append(f"{name:14} {means[f'{of}psnr']:7.2f}  {means[f'{of}ssim']:6.4f}")
    if "bits_per_pixel" in means:
        return "\n".join([*lines, f"{means.bits_per_pixel:.4f} bits per pixel, range-coded"])
    none = f"No bits: {printable(entropy_file(weights_file))}, the entropy model, is not there."
    return "\n".join([*lines, none])


def _rgb(frame: tf.Tensor) -> np.ndarray:
    return frame.numpy()[..., ::-1]


def _likeness(frame: tf.Tensor, reconstruction: tf.Tensor) -> tuple[float, float]:
    """PSNR in dB and SSIM of uint8 frames [height, width, 3]."""
    pair = frame, reconstruction
    return float(tf.image.psnr(*pair, max_val=255)), float(tf.image.ssim(*pair, max_val=255))
