"""Latents as strings, by tables of probabilities made from a prior.

Two range coders: tensorflow-compression's for its own prior, constriction's for that of `density`.
Neither reads what the other wrote, so the first byte of a string tells which it was.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..base.errors import UserError
from ..base.framework import tf
from .density import NoisyDeepFactorized

if TYPE_CHECKING:
    import tensorflow_compression as tfc

LIBRARIES = {b"t": "tensorflow-compression", b"c": "constriction"}
# Of what a table leaves out, together at both ends; a value there takes 32 bits more.
TAILS = 2.0**-16
# Probabilities are counted in steps as coarse as this, so that the tables are the same wherever
# they are made, though logarithms differ in their last digit from one processor to the next.
STEPS = 2.0**20
DAMAGED = "a string is damaged, or of other latents"


class Coder(NamedTuple):
    """What codes latents rounded to integers plus an offset per channel.

    `compress` takes latents float32 [batch, height, width, channels], and gives a string for each;
    `decompress` takes such strings and (height, width), and gives the rounded latents. It raises a
    UserError for strings of the other library, and for those that it sees to be damaged.
    """

    offset: np.ndarray  # float32 [channels]
    compress: Callable[[tf.Tensor], list[bytes]]
    decompress: Callable[[Sequence[bytes], tuple[int, int]], tf.Tensor]


def tensorflow_compression_coder(prior: "tfc.NoisyDeepFactorized") -> Coder:
    """The range coder of tensorflow-compression, for its own prior."""
    import tensorflow_compression as tfc

    settings = {"coding_rank": 3, "compression": True, "stateless": True}
    settings["bottleneck_dtype"] = tf.float32

    # As a graph: built eagerly, the tables take 17 s instead of one.
    @tf.function
    def tables() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        offset = tfc.quantization_offset(prior)
        model = tfc.ContinuousBatchedEntropyModel(prior, quantization_offset=offset, **settings)
        return model.cdf, model.cdf_offset, offset

    cdf, cdf_offset, offset = tables()
    model = tfc.ContinuousBatchedEntropyModel(
        prior_shape=prior.batch_shape,
        cdf=cdf,
        cdf_offset=cdf_offset,
        quantization_offset=offset,
        **settings,
    )

    def compress(latents: tf.Tensor) -> list[bytes]:
        return [b"t" + string for string in model.compress(latents).numpy()]

    def decompress(strings: Sequence[bytes], size: tuple[int, int]) -> tf.Tensor:
        try:
            return model.decompress([_content(string, b"t") for string in strings], size)
        except tf.errors.InvalidArgumentError:
            raise UserError(DAMAGED) from None

    return Coder(offset.numpy(), compress, decompress)


def constriction_coder(prior: NoisyDeepFactorized) -> Coder:
    """The range coder of constriction (Bamler, "Understanding Entropy Coding With Asymmetric
    Numeral Systems", 2022), for the prior of this project."""
    import constriction

    model, queue = constriction.stream.model, constriction.stream.queue
    offset = prior.quantization_offset()
    lowest, steps = _steps(prior, offset)
    # The last symbol of a table stands for what is not in it.
    tables = [model.Categorical(np.append(each, 1), perfect=False) for each in steps]
    counts = np.array([len(each) for each in steps])
    half = model.Uniform(2**16)

    def compress(latents: tf.Tensor) -> list[bytes]:
        return [b"c" + _string(latent) for latent in np.rint(np.asarray(latents) - offset)]

    def _string(latent: np.ndarray) -> bytes:
        symbols = latent.reshape(-1, len(tables)).astype(np.int32) - lowest
        outside = (symbols < 0) | (symbols >= counts)
        encoder = queue.RangeEncoder()
        for channel, table in enumerate(tables):
            column = np.where(outside[:, channel], counts[channel], symbols[:, channel])
            encoder.encode(column.astype(np.int32), table)
        rest = symbols.T[outside.T].astype(np.int32)
        encoder.encode(rest.view(np.uint16).astype(np.int32), half)
        return encoder.get_compressed().astype("<u4").tobytes()

    def decompress(strings: Sequence[bytes], size: tuple[int, int]) -> tf.Tensor:
        shape = *size, len(tables)
        latents = [_latent(_content(string, b"c"), shape) for string in strings]
        return tf.constant(np.stack(latents) + offset)

    def _latent(string: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        if len(string) % 4:
            raise UserError(DAMAGED)
        decoder = queue.RangeDecoder(np.frombuffer(string, "<u4").astype(np.uint32))
        try:
            symbols = np.stack([decoder.decode(table, math.prod(shape[:2])) for table in tables])
            outside = symbols == counts[:, np.newaxis]
            rest = decoder.decode(half, 2 * int(outside.sum()))
        except AssertionError:  # which is how constriction says so
            raise UserError(DAMAGED) from None
        if not decoder.maybe_exhausted():
            raise UserError(DAMAGED)
        symbols[outside] = rest.astype(np.uint16).view(np.int32)
        return (symbols.T + lowest).reshape(shape).astype(np.float32)

    return Coder(offset, compress, decompress)


def _steps(prior: NoisyDeepFactorized, offset: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The lowest integer in each channel's table, and the probabilities from there on in steps."""
    lowest = np.floor(prior.quantiles(TAILS / 2) - offset).astype(int)
    counts = np.ceil(prior.quantiles(1 - TAILS / 2) - offset).astype(int) - lowest + 1
    values = lowest + np.arange(counts.max())[:, np.newaxis] + offset.astype(np.float64)
    steps = np.maximum(np.rint(np.exp(prior.log_prob(values)) * STEPS), 1)
    return lowest, [channel[:count] for channel, count in zip(steps.T, counts)]


def _content(string: bytes, name: bytes) -> bytes:
    """What follows the name of the library in a string of the library `name`."""
    if string[:1] == name:
        return string[1:]
    if string[:1] not in LIBRARIES:
        raise UserError(DAMAGED)
    raise UserError(
        f"these strings are {LIBRARIES[string[:1]]}'s, which {LIBRARIES[name]} does not read: "
        "decode them with the Python and the packages that they were made with"
    )
