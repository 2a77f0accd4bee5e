"""Out-of-fold targets: by a kernel ridge regression written out, and through the train command."""

import numpy as np
import pytest
from PIL import Image

from common.base.errors import UserError
from common.data.gradients import gradient_percentiles
from common.training.targets import distributions, out_of_fold_targets


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Files of 12 frames of 6 contents, noisier from one to the next, and features of them."""
    folder = tmp_path_factory.mktemp("frames")
    random = np.random.default_rng(0)
    images = []
    for number in range(12):
        noise = random.normal(128, 4 * (number + 1), (352, 640, 3)).clip(0, 255)
        images.append(folder / f"{number}.png")
        Image.fromarray(noise.astype(np.uint8)).save(images[-1])
    features = random.normal(0, np.arange(1, 13)[:, None, None, None], (12, 4, 5, 3))
    np.save(folder / "a.npy", features.astype(np.float32))
    np.save(folder / "b.npy", features.astype(np.float16))
    return images, [folder / "a.npy", folder / "b.npy"]


LEVELS = np.stack([np.arange(12) + 20.0, np.arange(12) * 2 + 9.0], axis=1).astype(np.float32)
CONTENTS = np.repeat(list("abcdef"), 2)


def test_targets_are_those_of_a_regression_on_the_other_folds(frames):
    """Kernel ridge regression as textbooks have it, for the fold that holds the last content."""
    images, features = frames
    told = out_of_fold_targets(images, features, LEVELS, CONTENTS)
    assert told.dtype == np.float32 and told.shape == LEVELS.shape

    numbers = np.array(
        [gradient_percentiles(np.asarray(Image.open(each))[..., ::-1]) for each in images]
    )
    latents = np.hstack([distributions(np.load(file)) for file in features])
    # Six contents in five folds of like size: which two share one shows in what is independent.
    expected = {}
    for other in "-abcde":
        away = np.isin(CONTENTS, ["f", other])
        answers = []
        for seen in (numbers, latents):
            seen = (seen - seen[~away].mean(0)) / np.where(
                seen[~away].std(0), seen[~away].std(0), 1
            )
            distances = ((seen[:, None] - seen[None]) ** 2).mean(axis=2)
            kernel, middle = np.exp(-0.2 * distances), LEVELS[~away].mean(0)
            inner = kernel[np.ix_(~away, ~away)] + 0.03 * np.eye((~away).sum())
            answers.append(
                kernel[np.ix_(away, ~away)] @ np.linalg.solve(inner, LEVELS[~away] - middle)
                + middle
            )
        expected[other] = np.mean(answers, axis=0)[-2:]
    assert any(np.allclose(told[-2:], each, atol=1e-3) for each in expected.values())


def test_labels_of_a_content_do_not_reach_its_own_targets(frames):
    images, features = frames
    changed = LEVELS.copy()
    changed[4:6] += 30
    plain, other = (
        out_of_fold_targets(images, features, each, CONTENTS) for each in (LEVELS, changed)
    )
    assert np.array_equal(plain[4:6], other[4:6])
    assert not np.array_equal(plain[:2], other[:2])


def test_too_few_contents_are_refused(frames):
    images, features = frames
    with pytest.raises(UserError, match="5 contents in train, not 4"):
        out_of_fold_targets(images[:8], features, LEVELS[:8], CONTENTS[:8])


def test_distributions_by_hand():
    one = np.array([-1.0, 2.0, -3.0, 4.0, 0.0]).reshape(1, 5, 1, 1)
    # Magnitudes 0 to 4: the 90th percentile lies 0.6 of the way from 3 to 4; the mean is 0.4.
    expected = [2, 3.6, 2, np.sqrt((1.4**2 + 1.6**2 + 3.4**2 + 3.6**2 + 0.4**2) / 5)]
    assert distributions(one)[0] == pytest.approx(np.log(np.array(expected) + 0.01), abs=1e-6)


def test_part_is_checked(in_process, tmp_path):
    needed = ("data_dir", "checkpoint_path", "csv_log_path", "JND_Recon_Models_Path")
    given = [word for name in needed for word in (f"--{name}", tmp_path)]
    done = in_process("MJLAT.py", "train", *given, "--soft_targets", "1.5")
    assert done.returncode == 2
    assert "--soft_targets" in done.stderr and len(done.stderr.splitlines()) == 1
