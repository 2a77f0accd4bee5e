"""The entropy model's learned distribution of each latent channel.

    value ─ softplus(matrix) · value + bias ─ + tanh(factor) · tanh ─ ... ─ logit ─ sigmoid
            1 to 3 values, 3 to 3, 3 to 1     after all but the last          cumulative

The cumulative distribution is a small monotonic network. Its increase from value - 0.5 to value +
0.5 is the probability of an integer, and the density of a value with uniform noise of width 1.

Source: Ballé et al., "Variational Image Compression with a Scale Hyperprior", ICLR 2018, appendix
6.1 and 6.2. The weights have the names, shapes and initial values of tensorflow-compression's
`NoisyDeepFactorized`, which is used instead where it is installed.
"""

import itertools

import numpy as np

from ..base.framework import tf

_WIDTHS = (1, 3, 3, 1)
_SCALE = 10.0  # spread of the initial distributions
_BISECTIONS = 60  # reach the last digit of float64


class NoisyDeepFactorized(tf.Module):
    """A distribution per channel, with initial weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        steps = list(itertools.pairwise(_WIDTHS))
        scale = _SCALE ** (1 / len(steps))
        self._matrices, self._biases, self._factors = [], [], []
        for number, (taken, given) in enumerate(steps):
            start = np.log(np.expm1(1 / scale / given))
            matrix = np.full((channels, given, taken), start, np.float32)
            bias = tf.random.uniform((channels, given, 1), -0.5, 0.5)
            self._matrices.append(tf.Variable(matrix, name=f"matrix_{number}"))
            self._biases.append(tf.Variable(bias, name=f"bias_{number}"))
            if number + 1 < len(steps):
                factor = np.zeros((channels, given, 1), np.float32)
                self._factors.append(tf.Variable(factor, name=f"factor_{number}"))

    def logits(self, values: tf.Tensor) -> tf.Tensor:
        """Compute the cumulative distributions' logits at `values` [..., channels]."""
        values = tf.convert_to_tensor(values)
        logits = tf.transpose(tf.reshape(values, (-1, 1, self.channels)), (2, 1, 0))
        for number, (matrix, bias) in enumerate(zip(self._matrices, self._biases)):
            matrix, bias = tf.cast(matrix, values.dtype), tf.cast(bias, values.dtype)
            logits = tf.linalg.matmul(tf.nn.softplus(matrix), logits) + bias
            if number < len(self._factors):
                factor = tf.cast(self._factors[number], values.dtype)
                logits += tf.tanh(factor) * tf.tanh(logits)
        return tf.reshape(tf.transpose(logits, (2, 1, 0)), tf.shape(values))

    def log_prob(self, values: tf.Tensor) -> tf.Tensor:
        """Compute the log densities at `values` [..., channels] with uniform noise."""
        values = tf.convert_to_tensor(values)
        below, above = self.logits(values - 0.5), self.logits(values + 0.5)
        # Subtract the two sigmoids on the side where neither is near 1, for precision.
        right = above > 0
        more = tf.math.log_sigmoid(tf.where(right, -below, above))
        less = tf.math.log_sigmoid(tf.where(right, -above, below))
        return more + tf.math.log1p(-tf.exp(less - more))

    def quantiles(self, probability: float) -> np.ndarray:
        """Find where the cumulative distributions reach `probability`: float64 [channels]."""
        logit = np.log(probability / (1 - probability))
        low, high = -np.ones(self.channels), np.ones(self.channels)
        while (self.logits(low) > logit).numpy().any():
            low *= 2
        while (self.logits(high) < logit).numpy().any():
            high *= 2
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            beyond = (self.logits(middle) > logit).numpy()
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        return (low + high) / 2

    def quantization_offset(self) -> np.ndarray:
        """Compute the medians' distances from integers: float32 [channels], -0.5 to 0.5."""
        medians = self.quantiles(0.5)
        return (medians - np.rint(medians)).astype(np.float32)
