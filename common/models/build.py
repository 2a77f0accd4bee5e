"""A Keras model from its description."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.keras import layers

from common.facts import LEVELS
from common.models.backbone import FRAME_SHAPE, analysis_transform, synthesis_transform
from common.models.descriptions import Description
from common.models.heads import lat_head, rec_head

JND_FRAME = "JNDImg"


def build_model(description: Description) -> tf.keras.Model:
    """The model of `description`, freshly initialised.

    Frames [batch, 352, 640, 3], blue-green-red, 0 to 255, to levels [batch, 1]: one output, or
    three if multitask. If trained end to end, a JND frame [batch, 352, 640, 3] comes first and the
    backbone is trainable; else the backbones are frozen.

        LAT, REC       frame ─ backbone ─ latent or reconstruction ─ head ─ level
        E2E-LAT        frame ─ analysis ─ latent ─┬─ head ─ level
                                                  └─ synthesis ─ JND frame
        E2E-REC        frame ─ analysis ─ synthesis ─ JND frame ─ head ─ level
        MJ-LAT, -REC   frame ─┬─ JND1 backbone ─┐        ┌─ JND1
                              ├─ JND2 backbone ─┼─ head ─┼─ JND2
                              └─ JND3 backbone ─┘        └─ JND3
    """
    frames = layers.Input(FRAME_SHAPE)
    jnd_frame = JND_FRAME if description.end_to_end else None

    def seen_by_head() -> tf.Tensor:
        latent = analysis_transform(frames)
        return latent if description.sees == "latent" else synthesis_transform(latent, jnd_frame)

    seen = [seen_by_head() for _ in (LEVELS if description.multitask else LEVELS[:1])]
    tf.keras.Model(frames, seen).trainable = description.end_to_end

    outputs = [f"{level}_output" for level in LEVELS] if description.multitask else ["JND_output"]
    levels = (lat_head if description.sees == "latent" else rec_head)(seen, outputs)
    if not description.end_to_end:
        return tf.keras.Model(frames, levels)
    if description.sees == "latent":
        seen = [synthesis_transform(seen[0], jnd_frame)]
    return tf.keras.Model(frames, seen + levels)


def split_model(model: tf.keras.Model) -> tuple[tf.keras.Model, tf.keras.Model]:
    """A model with frozen backbones in two, which share its weights: the backbones, and the head.

    The backbones give what the head takes: a latent or reconstruction [batch, ...] a level.
    """
    seen = [
        layer.input
        for layer in model.layers
        if isinstance(layer, layers.BatchNormalization)
        and not layer.inbound_nodes[0].inbound_layers.trainable
    ]
    return tf.keras.Model(model.inputs, seen), tf.keras.Model(seen, model.outputs)


def start_from(model: tf.keras.Model, backbones: list[tf.keras.Model]) -> None:
    """Give `model` the weights of its backbones, in the order of the levels.

    It takes the layers that it has; a last layer called JNDImg starts afresh.
    """
    own = [layer for layer in model.layers if getattr(layer, "kernel_size", None) == (5, 5)]
    for number, backbone in enumerate(backbones):
        given = [layer for layer in backbone.layers if layer.weights]
        # Keras lists layers by depth: those of the backbones take turns.
        for layer, source in zip(own[number :: len(backbones)], given):
            if layer.name != JND_FRAME:
                layer.set_weights(source.get_weights())


def levels_of(model: tf.keras.Model) -> tf.keras.Model:
    """`model` without the JND frame: what predicting needs, and nothing that it does not."""
    return tf.keras.Model(model.inputs, [x for x in model.outputs if x.shape[1:] == (1,)])
