"""3x3 convolution with a quarter of the multiplications.

Winograd's F(4x4, 3x3) makes 4x4 outputs from a 6x6 tile of inputs with 36 products where the plain
sum takes 144.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

TILE = 4
_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float64,
)
_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float64
)


def transform_kernel(kernel: np.ndarray) -> np.ndarray:
    """A kernel [3, 3, in, out] as 36 matrices: float32 [36, in, out]."""
    transformed = np.einsum("ai,bj,ijcd->abcd", _KERNEL, _KERNEL, kernel.astype(np.float64))
    return transformed.reshape(-1, *kernel.shape[2:]).astype(np.float32)


@tf.function(jit_compile=True)
def transform_input(rows: tf.Tensor) -> tf.Tensor:
    """Rows [1, 4 a + 2, 4 b + 2, channels] as [36, a b, channels], a x b tiles of 6x6.

    Compiled by XLA: as single operations the additions would cost more than the products saved.
    """
    _, height, width, channels = rows.shape
    down, across = height // TILE, width // TILE
    tiles = [rows[0, i : i + height - 5 : TILE] for i in range(6)]
    tiles = tf.stack(_combine(_INPUT, tiles))
    tiles = [tiles[:, :, j : j + width - 5 : TILE] for j in range(6)]
    tiles = tf.stack(_combine(_INPUT, tiles), axis=1)
    return tf.reshape(tiles, (36, down * across, channels))


def transform_output(products: tf.Tensor, across: int) -> tf.Tensor:
    """Products [36, a b, channels] as rows [1, 4 a, 4 b, channels], where b is `across`."""
    channels = products.shape[-1]
    tiles = tf.reshape(products, (6, 6, -1, across, channels))
    tiles = tf.stack(_combine(_OUTPUT, tf.unstack(tiles)), axis=2)
    tiles = tf.stack(_combine(_OUTPUT, tf.unstack(tiles)), axis=3)
    return tf.reshape(tiles, (1, -1, TILE * across, channels))


def _combine(matrix: np.ndarray, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """The matrix times the vector of tensors, zeros left out."""
    return [
        tf.add_n([tensor * float(factor) for factor, tensor in zip(row, tensors) if factor])
        for row in matrix
    ]
