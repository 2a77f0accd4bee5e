"""The entropy model of the latents, which estimates their bits and provides the range coder.

A latent is rounded to integers, which are range-coded with a table of probabilities for each of the
192 channels, computed from a learned distribution. Rounding has no gradient, so training adds
uniform noise of width 1 instead; the bits with noise are an upper bound of those after rounding.

Sources: Ballé et al., "End-to-end Optimized Image Compression", ICLR 2017 (noise, rate and
distortion); Ballé et al., "Variational Image Compression with a Scale Hyperprior", ICLR 2018,
appendix 6.1 (the distribution); tensorflow/compression's bls2017.py.
"""

import contextlib
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..base.arrays import read_arrays, write_arrays
from ..base.constants import ENTROPY_SUFFIX, LATENT_FILTERS, LEVELS
from ..base.errors import UserError
from ..base.files import check_regular, checksum
from ..base.framework import tf
from ..models.backbone import build_backbone
from ..models.build import build_model
from ..models.descriptions import MODELS
from ..models.weight_paths import entropy_file, find_entropy_files, name_copy
from ..models.weights import read_weights
from .deep_factorized import NoisyDeepFactorized
from .range_coding import ConstrictionCoder, RangeCoder, TensorFlowCompressionCoder

try:
    import tensorflow_compression as tfc
except ModuleNotFoundError:  # there is none for Python 3.12 and later
    tfc = None

_LARGEST_FILE = 2**24  # bytes; a file for 192 channels takes 60 kB


def add_noise(latents: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Add uniform noise to latents [batch, h, w, 192], in place of rounding, for training.

    The noise depends only on `seed` (int [2]), so that resumed training gets the same noise.
    """
    return latents + tf.random.stateless_uniform(tf.shape(latents), seed, -0.5, 0.5)


def quantize(latents: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Round latents [batch, h, w, 192] to integers plus `offset` [192], in float32."""
    return tf.round(tf.cast(latents, tf.float32) - offset) + offset


class EntropyModel:
    """A learned distribution per latent channel, with initial weights.

    Attributes:
        distribution: tensorflow-compression's if it is installed, else ours, with the same
            weights.
    """

    def __init__(self) -> None:
        self.distribution = (
            tfc.NoisyDeepFactorized(batch_shape=(LATENT_FILTERS,))
            if tfc
            else NoisyDeepFactorized(LATENT_FILTERS)
        )
        self.trainable_variables: list[tf.Variable] = list(self.distribution.trainable_variables)

    def bits(self, latents: tf.Tensor) -> tf.Tensor:
        """Estimate the bits [batch] of latents [batch, h, w, 192], with noise or quantized."""
        log_prob = self.distribution.log_prob(latents)
        return tf.reduce_sum(log_prob, axis=(1, 2, 3)) / -np.log(2)

    def quantization_offset(self) -> np.ndarray:
        """Find the medians' fractions, float32 [192]; quantized latents are integers plus these."""
        if isinstance(self.distribution, NoisyDeepFactorized):
            return self.distribution.quantization_offset()
        return tf.function(tfc.quantization_offset)(self.distribution).numpy()

    @functools.cached_property
    def coder(self) -> RangeCoder:
        """The range coder; its tables are built from the weights at first use."""
        if isinstance(self.distribution, NoisyDeepFactorized):
            return ConstrictionCoder(self.distribution)
        return TensorFlowCompressionCoder(self.distribution)

    @functools.cached_property
    def checksum(self) -> str:
        """Checksum of the weights at first use: 32 hexadecimal digits."""
        return _checksum({name: weight.numpy() for name, weight in self._weights.items()})

    def write(self, path: Path, backbone: tf.keras.Model, overwrite: bool = True) -> None:
        """Write the weights, with a checksum of the `backbone` that makes the latents."""
        values = {name: weight.numpy() for name, weight in self._weights.items()}
        entries = {"backbone": weights_checksum(backbone), **values}
        write_arrays(path, entries, overwrite=overwrite)

    def read(self, path: Path, backbone: tf.keras.Model) -> None:
        """Read weights that `write` wrote.

        Raises:
            UserError: the file is damaged, or does not belong to `backbone`.
        """
        values = _read_values(path)
        if values.pop("backbone") != weights_checksum(backbone):
            raise UserError(
                f"{path}: belongs to other weights than the file next to it; if you remove it, "
                "all but the bits can be measured"
            )
        self.assign(values, path)

    def assign(self, values: dict[str, np.ndarray], path: Path) -> None:
        """Assign weights that were read from the file `path`.

        Raises:
            UserError: they are not those of an entropy model.
        """
        weights = self._weights
        if values.keys() != weights.keys():
            raise _damage_error(path, "its arrays have other names")
        for name, weight in weights.items():
            value = values[name]
            if (value.dtype, value.shape) != (weight.dtype.as_numpy_dtype, tuple(weight.shape)):
                raise _damage_error(path, f"{name} is {value.dtype} {value.shape}")
            if not np.isfinite(value).all():
                raise _damage_error(path, f"{name} holds NaN or infinite numbers")
        for name, weight in weights.items():
            weight.assign(values[name])

    @property
    def _weights(self) -> dict[str, tf.Variable]:
        """The variables by the name that they have in both libraries."""
        return {each.name.split("/")[-1].split(":")[0]: each for each in self.trainable_variables}


def copy_entropy_model(source: Path, backbone: tf.keras.Model, path: Path, overwrite: bool) -> None:
    """Copy the entropy model in the file `source` to `path`, for another backbone.

    Raises:
        UserError: `source` is damaged.
    """
    values = {**_read_values(source), "backbone": weights_checksum(backbone)}
    write_arrays(path, values, overwrite=overwrite)


def adapt_entropy_models(source: Path, target: Path, overwrite: bool) -> None:
    """Copy the entropy models beside the weight file `source`, for its rounded copy `target`.

    Raises:
        UserError: one is damaged, or belongs to none of the backbones in the weight file.
    """
    backbones = _find_backbones(target)
    for path in find_entropy_files(source):
        copied = name_copy(path, source, target)
        if copied not in backbones:
            raise UserError(f"{path}: belongs to no backbone in {source}, so it was not copied")
        copy_entropy_model(path, backbones[copied], copied, overwrite)


def _find_backbones(weights: Path) -> dict[Path, tf.keras.Model]:
    """Read what a weight file contains of backbones, by the file of each one's entropy model.

    A model on latents contains analysis transforms only.
    """
    for description in (each for each in MODELS.values() if each.sees == "latent"):
        model = build_model(description)
        with contextlib.suppress(UserError):  # the file belongs to another model
            read_weights(model.whole, weights)
            targets = LEVELS if description.multitask else [None]
            files = [entropy_file(weights, target) for target in targets]
            return {file: own.analysis for file, own in zip(files, model.backbones)}
    backbone = build_backbone()
    with contextlib.suppress(UserError):
        read_weights(backbone.whole, weights)
        return {entropy_file(weights): backbone.whole}
    return {}


def find_entropy_model(wanted: str, folders: Iterable[Path]) -> EntropyModel:
    """Find the entropy model with the checksum `wanted` in `folders`, or raise a UserError."""
    folders = list(dict.fromkeys(folders))
    for path in (path for folder in folders for path in sorted(folder.glob(f"*{ENTROPY_SUFFIX}"))):
        try:
            values = _read_values(path)
        except UserError:
            continue  # a damaged file may be another model's
        del values["backbone"]
        if _checksum(values) == wanted:
            model = EntropyModel()
            model.assign(values, path)
            return model
    searched = " or ".join(map(str, folders))
    raise UserError(
        f"its entropy model {wanted[:8]} (a *{ENTROPY_SUFFIX} file) is not in {searched}; "
        "copy it there; it is next to the weights that compressed the picture"
    )


def weights_checksum(model: tf.keras.Model) -> str:
    """Compute the checksum of the weights of `model`: 64 hexadecimal digits."""
    return checksum(weight.numpy().tobytes() for weight in model.weights)


def _read_values(path: Path) -> dict[str, Any]:
    """Read the arrays that `EntropyModel.write` wrote, with the backbone's checksum as text."""
    try:
        check_regular(path)
        values: dict[str, Any] = read_arrays(path, _LARGEST_FILE)
        values["backbone"] = str(values["backbone"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, MemoryError) as error:
        raise _damage_error(path, error) from None
    return values


def _damage_error(path: Path, reason: object) -> UserError:
    return UserError(f"{path}: not an entropy model, or damaged ({reason})")


def _checksum(values: dict[str, np.ndarray]) -> str:
    return checksum(name.encode() + values[name].tobytes() for name in sorted(values))[:32]
