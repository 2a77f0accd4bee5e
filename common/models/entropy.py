"""The entropy model of the latents: how many bits they take, and the strings that hold them.

A latent is coded as integers: rounded, each of its 192 channels by a probability table of its own,
which comes from a trained density, the prior. Rounding has no gradient, so training adds uniform
noise of the same width instead; the bits under noise are an upper bound of those when rounding.

Sources: Ballé et al., "End-to-end Optimized Image Compression", ICLR 2017 (noise, rate and
distortion); Ballé et al., "Variational Image Compression with a Scale Hyperprior", ICLR 2018,
appendix 6.1 (the prior); tensorflow/compression's bls2017.py.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

from common.errors import UserError
from common.facts import LATENT_FILTERS
from common.files import checksum, write_arrays


def build_prior() -> tfc.NoisyDeepFactorized:
    """A density a latent channel, freshly initialised."""
    return tfc.NoisyDeepFactorized(batch_shape=(LATENT_FILTERS,))


def noisy(
    prior: tfc.NoisyDeepFactorized, latents: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """For training: `latents` [batch, h, w, 192] with uniform noise, and their bits [batch].

    What tfc's entropy model does with `training=True`, but the noise depends on `seed` (int [2])
    alone, so that training can be interrupted and go on with the same noise.
    """
    latents += tf.random.stateless_uniform(tf.shape(latents), seed, -0.5, 0.5)
    return latents, tf.reduce_sum(prior.log_prob(latents), axis=(1, 2, 3)) / -np.log(2)


def quantized(prior: tfc.NoisyDeepFactorized, latents: tf.Tensor, offset: tf.Tensor):
    """`latents` [batch, h, w, 192] rounded, and an estimate of their bits [batch].

    `offset` [192] is `tfc.quantization_offset(prior)`: rounding is to integers plus that.
    """
    model = tfc.ContinuousBatchedEntropyModel(
        prior, coding_rank=3, quantization_offset=offset, bottleneck_dtype=tf.float32
    )
    return model(latents, training=False)


def build_coder(prior: tfc.NoisyDeepFactorized) -> tfc.ContinuousBatchedEntropyModel:
    """The range coder for latents [batch, h, w, 192]: `quantize`, `compress`, `decompress`."""
    coding = {"coding_rank": 3, "compression": True, "stateless": True}

    # As a graph: built eagerly, the tables take 17 s instead of one.
    @tf.function
    def tables() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        offset = tfc.quantization_offset(prior)
        of_prior = {"quantization_offset": offset, "bottleneck_dtype": tf.float32}
        model = tfc.ContinuousBatchedEntropyModel(prior, **coding, **of_prior)
        return model.cdf, model.cdf_offset, offset

    cdf, cdf_offset, offset = tables()
    return tfc.ContinuousBatchedEntropyModel(
        prior_shape=prior.batch_shape,
        cdf=cdf,
        cdf_offset=cdf_offset,
        quantization_offset=offset,
        bottleneck_dtype=tf.float32,
        **coding,
    )


def entropy_file(weights_file: Path) -> Path:
    """Where the entropy model of a backbone's weight file lies: beside it."""
    return Path(weights_file).with_suffix(".entropy.npz")


def write_prior(prior: tfc.NoisyDeepFactorized, backbone: tf.keras.Model, path: Path) -> None:
    """Write the weights of `prior` to the file `path`, whole or not at all.

    With them goes a checksum of the weights of `backbone`, whose latents they describe.
    """
    values = {_name(weight): weight.numpy() for weight in prior.trainable_variables}
    write_arrays(path, backbone=_checksum(backbone), **values)


def read_prior(prior: tfc.NoisyDeepFactorized, backbone: tf.keras.Model, path: Path) -> None:
    """Fill `prior` with the weights in the file `path`.

    Raises:
        UserError: the file is damaged, or belongs to other weights than those of `backbone`.
    """
    try:
        with np.load(path) as file:
            if file["backbone"] != _checksum(backbone):
                raise UserError(
                    f"{path}: belongs to other weights than the file beside it; without it, "
                    "all but the bits can be measured"
                )
            for weight in prior.trainable_variables:
                weight.assign(file[_name(weight)])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a whole file of an entropy model ({error})") from None


def _name(weight: tf.Variable) -> str:
    return weight.name.split("/")[-1].split(":")[0]


def _checksum(backbone: tf.keras.Model) -> str:
    return checksum(weight.numpy().tobytes() for weight in backbone.weights)
