"""The backbone that stage 1 starts from."""

import numpy as np
import pytest

from common.models.backbone import build_backbone
from common.models.wavelets import initialise_as_wavelets
from tests.synthetic import picture

pytestmark = pytest.mark.tensorflow


def test_initial_weights_reconstruct_frames_already():
    backbone = build_backbone()
    initialise_as_wavelets(backbone, seed=3)
    _, analysis, synthesis = backbone
    frame = picture(0).astype(np.float32)[np.newaxis]
    # What 192 Haar bands of 16x16 blocks keep, by hand: at least their means, for each colour.
    means = frame.reshape(1, 22, 16, 40, 16, 3).mean(axis=(2, 4), keepdims=True)
    coarse = np.broadcast_to(means, (1, 22, 16, 40, 16, 3)).reshape(frame.shape)
    latent = analysis(frame).numpy()
    error = np.mean((synthesis(latent).numpy() - frame) ** 2)
    assert error < 0.5 * np.mean((coarse - frame) ** 2)
    # The grey band of a flat frame, by hand: 16 pixels' side, three colours, 29 levels a unit.
    flat = analysis(np.full((1, 352, 640, 3), 158, np.float32)).numpy()
    assert flat[0, 5:-5, 5:-5, 0] == pytest.approx(30 * 16 * 3**0.5 / 29, rel=1e-3)
    assert np.abs(flat[0, 5:-5, 5:-5, 1:]).max() < 1e-3
    other = build_backbone()
    initialise_as_wavelets(other, seed=3)
    for weight, same in zip(backbone.whole.get_weights(), other.whole.get_weights()):
        assert np.array_equal(weight, same)
