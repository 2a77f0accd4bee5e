"""Building of Keras models, and their parts, from descriptions."""

import math
from typing import NamedTuple

from ..base.constants import LEVELS
from ..base.framework import layers, tf
from .backbone import FRAME_SHAPE, Backbone, analysis_transform, as_backbone, synthesis_transform
from .descriptions import Description
from .heads import HEADS, Block

JND_FRAME = "JNDImg"


class Parts(NamedTuple):
    """A model and its parts, which share its weights.

    Frames are [batch, 352, 640, 3], blue-green-red, 0 to 255; each level is an output [batch, 1].
    """

    description: Description
    whole: tf.keras.Model  # as in weight files; end to end, its first output is the JND frame
    predicting: tf.keras.Model  # frames to levels, without layers that prediction does not need
    backbones: list[Backbone]  # one, or if multitask one per level
    features: tf.keras.Model  # frames to the input of the head, a latent or frame per backbone
    head: tf.keras.Model  # the output of `features` to levels
    blocks: list[Block]  # the head's convolutions


def build_model(description: Description) -> Parts:
    """Build a model with initial weights; its backbones are frozen unless it is end to end.

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
    sees_latents = description.sees == "latent"
    latents, reconstructions = [], []
    for _ in LEVELS if description.multitask else LEVELS[:1]:
        latents.append(analysis_transform(frames))
        reconstructions.append(
            None if sees_latents else synthesis_transform(latents[-1], jnd_frame)
        )
    seen = latents if sees_latents else reconstructions
    tf.keras.Model(frames, seen).trainable = description.end_to_end

    outputs = [f"{level}_output" for level in LEVELS] if description.multitask else ["JND_output"]
    levels, blocks = HEADS[description.head](seen, outputs)
    if description.end_to_end and sees_latents:
        reconstructions = [synthesis_transform(latents[0], jnd_frame)]
    predicting = tf.keras.Model(frames, levels)
    return Parts(
        description,
        tf.keras.Model(frames, reconstructions + levels) if description.end_to_end else predicting,
        predicting,
        [as_backbone(frames, *tensors) for tensors in zip(latents, reconstructions)],
        tf.keras.Model(frames, seen),
        tf.keras.Model(seen, levels),
        blocks,
    )


def start_from(model: Parts, backbones: list[Backbone]) -> None:
    """Copy the weights of `backbones`, in the order of the levels, to the backbones of `model`.

    Layers that the model lacks are skipped. If its last layer outputs the JND frame, that layer
    keeps its initial weights.
    """
    for own, given in zip(model.backbones, backbones):
        pairs = [*zip(own.analysis.layers, given.analysis.layers)]
        if own.synthesis and given.synthesis:
            end = -1 if model.description.end_to_end else None
            pairs += zip(own.synthesis.layers[:end], given.synthesis.layers)
        for layer, source in pairs:
            layer.set_weights(source.get_weights())


def count_most_frames(model: tf.keras.Model) -> int:
    """Count the most frames that a GPU can take at a time.

    TensorFlow counts the values of a layer's output in 32 bits there, and aborts the process if
    there are more (tensorflow/tensorflow#99894).
    """
    outputs = tf.nest.flatten([layer.output for layer in model.layers])
    return (2**31 - 1) // max(math.prod(output.shape[1:]) for output in outputs)
