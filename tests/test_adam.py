"""The optimizer in one operation a weight is Keras's."""

from __future__ import annotations

import numpy as np
import pytest

from common.fast.adam import Adam
from common.framework import tf

pytestmark = pytest.mark.tensorflow


def test_it_goes_where_keras_goes():
    schedule = tf.keras.optimizers.schedules.CosineDecay(1e-2, 8)
    random = np.random.default_rng(0)
    start = [random.normal(size=shape).astype(np.float32) for shape in ((3, 3, 4, 5), (7,))]
    gradients = random.normal(size=(6, 2)).astype(np.float32)  # by step and variable
    ends = []
    for optimizer in (Adam(schedule), tf.keras.optimizers.Adam(schedule)):
        variables = [tf.Variable(values) for values in start]
        optimizer.build(variables)
        for step in gradients:
            pairs = [(scale * values, v) for scale, values, v in zip(step, start, variables)]
            optimizer.apply_gradients(pairs)
        ends.append([v.numpy() for v in [*variables, *optimizer.variables]])
    assert len(ends[0]) == len(ends[1]) == 7  # weights, their two moments, and the step
    for found, wanted in zip(*ends):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert np.abs(ends[0][0] - start[0]).max() > 1e-3
