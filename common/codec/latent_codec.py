"""The learned image codec."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..base.constants import LEVELS
from ..base.errors import UserError
from ..base.framework import tf
from ..base.program import program
from ..models.backbone import Backbone, build_backbone
from ..models.build import build_model
from ..models.descriptions import Description
from ..models.weight_paths import entropy_file
from ..models.weights import read_weights
from .bitstream import CodedLatent, symbols_checksum
from .decoding import decode
from .entropy_model import EntropyModel, weights_checksum

# Maps a frame, uint8 [height, width, 3], blue-green-red, with sides that are multiples of 16, to
# its latent, float32 [height / 16, width / 16, 192].
Analyse = Callable[[np.ndarray], np.ndarray]
LoadAnalysis = Callable[[tf.keras.Model], Analyse]
_ANY_SIZE = (None, None, 3)


def load_analysis(analysis: tf.keras.Model) -> Analyse:
    """Load an analysis transform to run in TensorFlow."""
    run = tf.function(analysis, reduce_retracing=True)
    return lambda frame: run(tf.constant(frame[np.newaxis].astype(np.float32))).numpy()[0]


class LatentCodec:
    """A learned image codec: a backbone, the entropy model of its latents, and a range coder.

        frame ─ analysis ─ latent ─ rounding ─ range coder ─ string
                                                               │
        reconstruction ─ synthesis ─ quantized latent ─ range decoder

    Source: Ballé et al., "End-to-end Optimized Image Compression", ICLR 2017; the class does what
    tensorflow/compression's bls2017.py does.

    Args:
        target: what the backbone reconstructs: "Img", or "JND1" to "JND3".
        backbone: the transforms, for frames of any size.
        weights: the weight file of the backbone; named in errors.
        entropy_file: the file of the entropy model, which is read when first needed.
        load_analysis: loads the analysis transform for a runtime, TensorFlow by default. The last
            bits of latents depend on the runtime, so levels from strings equal those from pixels
            only if both use the same one (see `inference.runtime.load_analysis`).
    """

    def __init__(
        self,
        target: str,
        backbone: Backbone,
        weights: Path,
        entropy_file: Path,
        load_analysis: LoadAnalysis = load_analysis,
    ) -> None:
        self.target, self.backbone, self.weights = target, backbone, weights
        self.entropy_file, self._load_analysis = entropy_file, load_analysis

    @classmethod
    def initialise(cls, target: str, weights: Path) -> "LatentCodec":
        """Make a codec with random weights, to be trained and written to the file `weights`."""
        codec = cls(target, build_backbone(_ANY_SIZE), weights, entropy_file(weights))
        codec.entropy_model = EntropyModel()
        return codec

    @classmethod
    def from_backbone(
        cls, target: str, weights: Path, load_analysis: LoadAnalysis = load_analysis
    ) -> "LatentCodec":
        """Load the backbone in a weight file of stage 1.

        Raises:
            UserError: the file is damaged, or another model's.
        """
        backbone = build_backbone(_ANY_SIZE)
        read_weights(backbone.whole, weights)
        return cls(target, backbone, weights, entropy_file(weights), load_analysis)

    @classmethod
    def from_model(
        cls,
        description: Description,
        weights: Path,
        level: str | None = None,
        load_analysis: LoadAnalysis = load_analysis,
    ) -> "list[LatentCodec]":
        """Load the analysis transforms in the weight file of a model, as a codec per backbone.

        These codecs cannot reconstruct frames, since the file has no synthesis transforms.

        Args:
            level: the level that the model predicts, if it predicts only one.

        Raises:
            UserError: the file is damaged, or another model's.
        """
        model, codecs = build_model(description), []
        read_weights(model.whole, weights)
        for name, own in zip([level] if level else LEVELS, model.backbones):
            analysis = build_backbone(_ANY_SIZE).analysis
            analysis.set_weights(own.analysis.get_weights())
            file = entropy_file(weights, name if description.multitask else None)
            codecs.append(
                cls(name, Backbone(analysis, analysis, None), weights, file, load_analysis)
            )
        return codecs

    @functools.cached_property
    def entropy_model(self) -> EntropyModel:
        """The entropy model in `entropy_file`.

        Raises:
            UserError: the file is missing or damaged, or belongs to another backbone.
        """
        if not self.entropy_file.exists():
            command = program("entropy")
            raise UserError(f"{self.entropy_file}: no such file; train this model with {command}")
        model = EntropyModel()
        model.read(self.entropy_file, self.backbone.whole)
        return model

    @property
    def synthesis(self) -> tf.keras.Model:
        """The synthesis transform.

        Raises:
            UserError: the weight file has none.
        """
        if self.backbone.synthesis is None:
            raise UserError(f"{self.weights}: has no synthesis transform to reconstruct with")
        return self.backbone.synthesis

    @functools.cached_property
    def analysis_checksum(self) -> str:
        """Checksum of the analysis transform, stored with each latent that it makes."""
        return weights_checksum(self.backbone.analysis)[:32]

    @functools.cached_property
    def _backbone_checksum(self) -> str:
        return weights_checksum(self.backbone.whole)[:32]

    @functools.cached_property
    def _analyse(self) -> Analyse:
        return self._load_analysis(self.backbone.analysis)

    @functools.cached_property
    def _synthesise(self) -> Callable[[tf.Tensor], tf.Tensor]:
        return tf.function(self.synthesis, reduce_retracing=True)

    def latents(self, frame: np.ndarray) -> np.ndarray:
        """Compute the latent of a frame; for the shapes, see `Analyse`."""
        return self._analyse(frame)

    def compress(self, frame: np.ndarray) -> CodedLatent:
        """Code a frame (see `Analyse`) as the string of its latent.

        Raises:
            UserError: as `entropy_model`.
        """
        return self.encode(self.latents(frame))

    def encode(self, latent: np.ndarray) -> CodedLatent:
        """Code a latent, as `latents` returns it, as a string; raises as `compress`."""
        coder = self.entropy_model.coder
        string = coder.compress(latent)
        quantized = coder.decompress(string, (latent.shape[0], latent.shape[1]))
        return CodedLatent(
            target=self.target,
            analysis=self.analysis_checksum,
            backbone=self._backbone_checksum,
            entropy_model=self.entropy_model.checksum,
            symbols=symbols_checksum(quantized, coder.offset),
            string=string,
        )

    def decompress(self, latent: CodedLatent, size: tuple[int, int]) -> np.ndarray:
        """Decode a quantized latent, float32 [*size, 192].

        Its entropy model is looked for in the folder of this codec's own.

        Raises:
            UserError: as `decode`.
        """
        return decode(latent, size, [self.entropy_file.parent])

    def synthesise(self, latent: np.ndarray) -> np.ndarray:
        """Reconstruct a frame, uint8 [height, width, 3], blue-green-red, from its latent.

        Raises:
            UserError: as `synthesis`.
        """
        frame = self._synthesise(tf.constant(latent[np.newaxis]))[0]
        return tf.saturate_cast(tf.round(frame), tf.uint8).numpy()
