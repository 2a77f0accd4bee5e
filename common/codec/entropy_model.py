"""The entropy model of the latents: how many bits they take, and the strings that hold them.

A latent is coded as integers: rounded, each of its 192 channels by a probability table of its own,
which comes from a trained density, the prior. Rounding has no gradient, so training adds uniform
noise of the same width instead; the bits under noise are an upper bound of those when rounding.

Sources: Ballé et al., "End-to-end Optimized Image Compression", ICLR 2017 (noise, rate and
distortion); Ballé et al., "Variational Image Compression with a Scale Hyperprior", ICLR 2018,
appendix 6.1 (the prior); tensorflow/compression's bls2017.py.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Union

import numpy as np

from ..base.arrays import read_arrays, write_arrays
from ..base.constants import ENTROPY_SUFFIX, LATENT_FILTERS
from ..base.errors import UserError
from ..base.files import check_regular, checksum
from ..base.framework import tf
from .density import NoisyDeepFactorized
from .range_coding import Coder, constriction_coder, tensorflow_compression_coder

try:
    import tensorflow_compression as tfc
except ModuleNotFoundError:  # as from Python 3.12 on
    tfc = None

_LARGEST_FILE = 2**24  # bytes; one of 192 channels takes 60 kB
# Of either library: `log_prob` and `trainable_variables` are the same.
Prior = Union["tfc.NoisyDeepFactorized", NoisyDeepFactorized]


def build_prior() -> Prior:
    """A density per latent channel, freshly initialised.

    Of tensorflow-compression where it is installed, else our own; their weights are the same.
    """
    if tfc:
        return tfc.NoisyDeepFactorized(batch_shape=(LATENT_FILTERS,))
    return NoisyDeepFactorized(LATENT_FILTERS)


def noisy(prior: Prior, latents: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """For training: `latents` [batch, h, w, 192] with uniform noise, and their bits [batch].

    The noise depends on `seed` (int [2]) alone, so that training can be interrupted and go on with
    the same noise.
    """
    latents += tf.random.stateless_uniform(tf.shape(latents), seed, -0.5, 0.5)
    return latents, _bits(prior, latents)


def quantized(prior: Prior, latents: tf.Tensor, offset: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`latents` [batch, h, w, 192] rounded to integers plus `offset` [192], and an estimate of
    their bits [batch]."""
    latents = rounded_to(latents, offset)
    return latents, _bits(prior, latents)


def rounded_to(latents: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """`latents` [batch, h, w, 192] rounded to integers plus `offset` [192], in float32."""
    return tf.round(tf.cast(latents, tf.float32) - offset) + offset


def _bits(prior: Prior, latents: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(prior.log_prob(latents), axis=(1, 2, 3)) / -np.log(2)


def quantization_offset(prior: Prior) -> np.ndarray:
    """What latents are rounded to integers plus: the medians' distance from them, float32 [192]."""
    if isinstance(prior, NoisyDeepFactorized):
        return prior.quantization_offset()
    return tf.function(tfc.quantization_offset)(prior).numpy()


def build_coder(prior: Prior) -> Coder:
    """The range coder of the library that `prior` is of."""
    if isinstance(prior, NoisyDeepFactorized):
        return constriction_coder(prior)
    return tensorflow_compression_coder(prior)


def entropy_file(weights_file: Path, target: str | None = None) -> Path:
    """Where the entropy model of a backbone's weight file lies: beside it.

    `target` is needed where the file holds several backbones: whose it is.
    """
    return Path(weights_file).with_suffix(
        f".{target}{ENTROPY_SUFFIX}" if target else ENTROPY_SUFFIX
    )


def write_prior(prior: Prior, backbone: tf.keras.Model, path: Path, overwrite: bool = True) -> None:
    """Write the weights of `prior` to the file `path`, whole or not at all.

    With them goes a checksum of the weights of `backbone`, whose latents they describe.
    """
    values = {_name(weight): weight.numpy() for weight in prior.trainable_variables}
    entries = {"backbone": weights_checksum(backbone), **values}
    write_arrays(path, entries, overwrite=overwrite)


def read_prior(prior: Prior, backbone: tf.keras.Model, path: Path) -> None:
    """Fill `prior` with the weights in the file `path`.

    Raises:
        UserError: the file is damaged, or belongs to other weights than those of `backbone`.
    """
    values = _values(path)
    if values.pop("backbone") != weights_checksum(backbone):
        raise UserError(
            f"{path}: belongs to other weights than the file beside it; without it, "
            "all but the bits can be measured"
        )
    _fill(prior, values, path)


def copy_prior(source: Path, backbone: tf.keras.Model, path: Path, overwrite: bool = False) -> None:
    """Write the entropy model in the file `source` to `path`, as that of `backbone`.

    Raises:
        UserError: `source` is damaged.
    """
    values = _values(source)
    values["backbone"] = weights_checksum(backbone)
    write_arrays(path, values, overwrite=overwrite)


def find_prior(wanted: str, folders: Iterable[Path]) -> Prior:
    """The entropy model with the checksum `wanted`, as `prior_checksum` gives it.

    Raises:
        UserError: no file in one of the `folders` holds it.
    """
    folders = list(dict.fromkeys(folders))
    for path in (path for folder in folders for path in sorted(folder.glob(f"*{ENTROPY_SUFFIX}"))):
        try:
            values = _values(path)
        except UserError:
            continue  # a damaged one of others is nothing to stop at
        del values["backbone"]
        if _checksum(values) == wanted:
            prior = build_prior()
            _fill(prior, values, path)
            return prior
    places = " or ".join(map(str, folders))
    raise UserError(f"its entropy model {wanted[:8]} (a *{ENTROPY_SUFFIX} file) is not in {places}")


def prior_checksum(prior: Prior) -> str:
    """What tells `prior` from others: 32 hexadecimal digits."""
    return _checksum({_name(weight): weight.numpy() for weight in prior.trainable_variables})


def weights_checksum(model: tf.keras.Model) -> str:
    """A checksum of the weights of `model`: 64 hexadecimal digits."""
    return checksum(weight.numpy().tobytes() for weight in model.weights)


def _values(path: Path) -> dict[str, Any]:
    """What a file of `write_prior` holds."""
    try:
        check_regular(path)
        values: dict[str, Any] = read_arrays(path, _LARGEST_FILE)
        values["backbone"] = str(values["backbone"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, MemoryError) as error:
        raise _damaged(path, error) from None
    return values


def _fill(prior: Prior, values: dict[str, np.ndarray], path: Path) -> None:
    weights = {_name(weight): weight for weight in prior.trainable_variables}
    if values.keys() != weights.keys():
        raise _damaged(path, ValueError("its arrays have other names"))
    for name, weight in weights.items():
        value = values[name]
        if (value.dtype, value.shape) != (weight.dtype.as_numpy_dtype, tuple(weight.shape)):
            raise _damaged(path, ValueError(f"{name} is {value.dtype} {value.shape}"))
        if not np.isfinite(value).all():
            raise _damaged(path, ValueError(f"{name} holds NaN or infinite numbers"))
    for name, weight in weights.items():
        weight.assign(values[name])


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not a whole file of an entropy model ({error})")


def _checksum(values: dict[str, np.ndarray]) -> str:
    return checksum(name.encode() + values[name].tobytes() for name in sorted(values))[:32]


def _name(weight: tf.Variable) -> str:
    return weight.name.split("/")[-1].split(":")[0]
