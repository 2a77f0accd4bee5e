"""Channel attention: squeeze-and-excitation with two squeezes."""

from ..base.framework import layers, tf

_RATIO = 8  # of the channels before and after the squeeze


def channel_attention(features: tf.Tensor) -> tf.Tensor:
    """Scale each channel by a weight computed from the whole feature map.

        features ─┬─ global average ─┐
                  │                  ├─ Dense(C/8, ReLU) ─ Dense(C) ─ sum ─ sigmoid ─┐
                  ├─ global maximum ─┘  (the same two layers for both)               │
                  └──────────────────────────────────────────────────── times ───────┴─ out

    Input and output are [batch, height, width, C]. Source: Hu et al., "Squeeze-and-Excitation
    Networks", CVPR 2018, with the second squeeze of Woo et al., "CBAM", ECCV 2018.
    """
    channels = features.shape[-1]
    squeezed = [
        layers.GlobalAveragePooling2D()(features),
        layers.GlobalMaxPooling2D()(features),
    ]
    squeezed = [layers.Reshape((1, 1, channels))(squeeze) for squeeze in squeezed]
    reduce = layers.Dense(channels // _RATIO, activation="relu", kernel_initializer="he_normal")
    expand = layers.Dense(channels, kernel_initializer="he_normal")
    excitation = layers.Add()([expand(reduce(squeeze)) for squeeze in squeezed])
    return layers.Multiply()([features, layers.Activation("sigmoid")(excitation)])
