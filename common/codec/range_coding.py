"""Range coders, which code quantized latents as strings by tables of probabilities.

There are two: tensorflow-compression's for its own distribution, and constriction's for ours.
Neither can read the other's strings, so the first byte of a string names the coder.
"""

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..base.errors import UserError
from ..base.framework import tf
from .deep_factorized import NoisyDeepFactorized

if TYPE_CHECKING:
    import tensorflow_compression as tfc

LIBRARIES = {b"t": "tensorflow-compression", b"c": "constriction"}
# Probability of all values outside a table (both tails); each of those takes 32 more bits.
TAILS = 2.0**-16
# Probabilities are rounded to multiples of 1 / STEPS, so that all machines make the same tables,
# although the last digits of logarithms differ between processors.
STEPS = 2.0**20
DAMAGED = "a string is damaged, or belongs to other latents"


class RangeCoder(Protocol):
    """Codes latents that are rounded to integers plus an offset per channel."""

    offset: np.ndarray
    """float32 [channels]"""

    def compress(self, latent: np.ndarray) -> bytes:
        """Quantize and code a latent, float32 [height, width, channels]."""

    def decompress(self, string: bytes, size: tuple[int, int]) -> np.ndarray:
        """Decode a quantized latent of `size` (height, width).

        Raises:
            UserError: the string was made by the other library, or is visibly damaged.
        """


class TensorFlowCompressionCoder:
    """tensorflow-compression's range coder, for its own distribution."""

    def __init__(self, distribution: "tfc.NoisyDeepFactorized") -> None:
        import tensorflow_compression as tfc

        settings = {"coding_rank": 3, "compression": True, "stateless": True}
        settings["bottleneck_dtype"] = tf.float32

        # In eager mode, this would take 17 s instead of 1 s.
        @tf.function
        def build_tables() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            offset = tfc.quantization_offset(distribution)
            model = tfc.ContinuousBatchedEntropyModel(
                distribution, quantization_offset=offset, **settings
            )
            return model.cdf, model.cdf_offset, offset

        cdf, cdf_offset, offset = build_tables()
        self._model = tfc.ContinuousBatchedEntropyModel(
            prior_shape=distribution.batch_shape,
            cdf=cdf,
            cdf_offset=cdf_offset,
            quantization_offset=offset,
            **settings,
        )
        self.offset = offset.numpy()

    def compress(self, latent: np.ndarray) -> bytes:
        return b"t" + self._model.compress(latent[np.newaxis]).numpy()[0]

    def decompress(self, string: bytes, size: tuple[int, int]) -> np.ndarray:
        try:
            return self._model.decompress([_strip_library(string, b"t")], size).numpy()[0]
        except tf.errors.InvalidArgumentError:
            raise UserError(DAMAGED) from None


class ConstrictionCoder:
    """constriction's range coder (Bamler, "Understanding Entropy Coding With Asymmetric Numeral
    Systems", 2022), for the distribution of this project."""

    def __init__(self, distribution: NoisyDeepFactorized) -> None:
        import constriction

        model = constriction.stream.model
        self.offset = distribution.quantization_offset()
        self._lowest, steps = _count_steps(distribution, self.offset)
        # The last symbol of each table stands for all values outside it.
        self._tables = [model.Categorical(np.append(each, 1), perfect=False) for each in steps]
        self._counts = np.array([len(each) for each in steps])
        self._half = model.Uniform(2**16)
        self._queue = constriction.stream.queue

    def compress(self, latent: np.ndarray) -> bytes:
        integers = np.rint(latent - self.offset).reshape(-1, len(self._tables))
        symbols = integers.astype(np.int32) - self._lowest
        outside = (symbols < 0) | (symbols >= self._counts)
        encoder = self._queue.RangeEncoder()
        for channel, table in enumerate(self._tables):
            column = np.where(outside[:, channel], self._counts[channel], symbols[:, channel])
            encoder.encode(column.astype(np.int32), table)
        rest = symbols.T[outside.T].astype(np.int32)
        encoder.encode(rest.view(np.uint16).astype(np.int32), self._half)
        return b"c" + encoder.get_compressed().astype("<u4").tobytes()

    def decompress(self, string: bytes, size: tuple[int, int]) -> np.ndarray:
        content = _strip_library(string, b"c")
        if len(content) % 4:
            raise UserError(DAMAGED)
        decoder = self._queue.RangeDecoder(np.frombuffer(content, "<u4").astype(np.uint32))
        try:
            columns = [decoder.decode(table, math.prod(size)) for table in self._tables]
            symbols = np.stack(columns)
            outside = symbols == self._counts[:, np.newaxis]
            rest = decoder.decode(self._half, 2 * int(outside.sum()))
        except AssertionError:  # raised by constriction on invalid strings
            raise UserError(DAMAGED) from None
        if not decoder.maybe_exhausted():
            raise UserError(DAMAGED)
        symbols[outside] = rest.astype(np.uint16).view(np.int32)
        integers = (symbols.T + self._lowest).reshape(*size, -1).astype(np.float32)
        return integers + self.offset


def _count_steps(
    distribution: NoisyDeepFactorized, offset: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Compute each channel's table: its lowest integer, and the probabilities in `STEPS`."""
    lowest = np.floor(distribution.quantiles(TAILS / 2) - offset).astype(int)
    counts = np.ceil(distribution.quantiles(1 - TAILS / 2) - offset).astype(int) - lowest + 1
    values = lowest + np.arange(counts.max())[:, np.newaxis] + offset.astype(np.float64)
    steps = np.maximum(np.rint(np.exp(distribution.log_prob(values)) * STEPS), 1)
    return lowest, [channel[:count] for channel, count in zip(steps.T, counts)]


def _strip_library(string: bytes, library: bytes) -> bytes:
    """Remove the first byte of a string; a UserError if it is not that of `library`."""
    if string[:1] == library:
        return string[1:]
    if string[:1] not in LIBRARIES:
        raise UserError(DAMAGED)
    raise UserError(
        f"these strings were made by {LIBRARIES[string[:1]]}; {LIBRARIES[library]} cannot read "
        "them: use the versions of Python and of the packages that made them"
    )
