"""Adam in one operation a weight."""

from __future__ import annotations

from common.framework import tf


class Adam(tf.keras.optimizers.Adam):
    """Keras's Adam, whose dozen operations a weight take a tenth of a head's training step.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Move `variable` by one step."""
        # Names that Keras keeps for itself; but it is pinned with TensorFlow.
        number = self._index_dict[self._var_key(variable)]
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].handle,
            v=self._velocities[number].handle,
            beta1_power=tf.cast(self.beta_1, variable.dtype) ** step,
            beta2_power=tf.cast(self.beta_2, variable.dtype) ** step,
            lr=tf.cast(self.learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
