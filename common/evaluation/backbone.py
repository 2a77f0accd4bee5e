"""Testing a backbone: how near its reconstructions come, and in how many bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from common.data.frames import decoded_frames
from common.data.side_by_side import write_side_by_side
from common.device import choose_device
from common.errors import UserError
from common.files import replaced
from common.models.backbone import build_backbone, transforms
from common.models.entropy import build_coder, build_prior, entropy_file, read_prior
from common.models.weights import read_weights

SHOWN = 4  # frames in the picture


def test(
    target: str,
    folder: Path,
    images: list[Path],
    jnd_frames: list[Path] | None,
    weights_file: Path,
    result_path: Path,
) -> None:
    """Measure the reconstructions of the `images` in `folder`, and write to `result_path`.

    With `target` in front of each name: Reconstruction_frames.csv (a line an image),
    Reconstruction_metrics.csv (means) and Reconstruction.png (some frames side by side).

    Where the weight file's entropy model lies beside it, latents are range-coded to strings, bits
    are those of the strings, and what is reconstructed is decoded from them; else there are no
    bits, and latents are reconstructed as they are. Reconstructions are rounded to 8 bits. PSNR is
    10 log10(255^2 / mean squared error over the three channels), SSIM that of Wang et al., IEEE TIP
    2004, the mean of the three, both the mean over images.

    Raises:
        UserError: the weights are another model's, or an image cannot be read.
    """
    choose_device("float32")
    backbone = build_backbone()
    read_weights(backbone, weights_file)
    analysis, synthesis = transforms(backbone)
    coder = None
    if entropy_file(weights_file).exists():
        prior = build_prior()
        read_prior(prior, backbone, entropy_file(weights_file))
        coder = build_coder(prior)

    rows, shown = [], []
    bad: list[UserError] = []
    pairs = decoded_frames([images, jnd_frames or images], np.arange(len(images)), bad)
    analyse, synthesise = tf.function(analysis), tf.function(synthesis)
    for number, frame, jnd_frame in tqdm(pairs, total=len(images), unit="frame", disable=None):
        latent = analyse(tf.cast(frame[tf.newaxis], tf.float32))
        row = {"image": images[number].relative_to(folder).as_posix()}
        if coder:
            strings = coder.compress(latent)
            latent = coder.decompress(strings, latent.shape[1:3])
            row["bits_per_pixel"] = 8 * len(strings[0].numpy()) / (frame.shape[0] * frame.shape[1])
        reconstruction = tf.saturate_cast(tf.round(synthesise(latent)[0]), tf.uint8)
        row["psnr"], row["ssim"] = _likeness(frame, reconstruction)
        if jnd_frames:
            row["jnd_psnr"], row["jnd_ssim"] = _likeness(jnd_frame, reconstruction)
        rows.append(row)
        if len(shown) < SHOWN:
            shown.append([(row["image"], _rgb(frame))])
            if jnd_frames:
                shown[-1].append((f"{target} frame", _rgb(jnd_frame)))
            caption = f"reconstruction, {row.get('jnd_psnr', row['psnr']):.2f} dB"
            if coder:
                caption += f", {row['bits_per_pixel']:.3f} bits per pixel"
            shown[-1].append((caption, _rgb(reconstruction)))
    if bad:
        raise bad[0]

    start = result_path / f"{target}Reconstruction"
    table = pd.DataFrame(rows)
    with replaced(Path(f"{start}_frames.csv")) as beside:
        table.to_csv(beside, index=False, float_format="%.6f")
    means = table.drop(columns="image").mean()
    with replaced(Path(f"{start}_metrics.csv")) as beside:
        means.to_frame().T.assign(images=len(table)).to_csv(
            beside, index=False, float_format="%.6f"
        )
    write_side_by_side(Path(f"{start}.png"), shown)
    print(f"{len(table)} images: {start}_frames.csv, {start}.png")
    print(f"{'against the':14} PSNR dB    SSIM")
    print(f"{'raw frame':14} {means.psnr:7.2f}  {means.ssim:6.4f}")
    if jnd_frames:
        print(f"{f'{target} frame':14} {means.jnd_psnr:7.2f}  {means.jnd_ssim:6.4f}")
    if coder:
        print(f"{means.bits_per_pixel:.4f} bits per pixel, range-coded")
    else:
        print(f"No bits: {entropy_file(weights_file)}, the entropy model, is not there.")


def _rgb(frame: tf.Tensor) -> np.ndarray:
    return frame.numpy()[..., ::-1]


def _likeness(frame: tf.Tensor, reconstruction: tf.Tensor) -> tuple[float, float]:
    """PSNR in dB and SSIM of uint8 frames [height, width, 3]."""
    pair = frame, reconstruction
    return float(tf.image.psnr(*pair, max_val=255)), float(tf.image.ssim(*pair, max_val=255))
