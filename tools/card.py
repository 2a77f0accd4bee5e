"""Figures of the model card, weights/README.md.

    python3 -m tools.card ROOT WEIGHTS CACHE [EARLIER]

ROOT holds whole pictures at their own size: own/ or jpeg/own/ of weights/make.sh. Contents are
named after their collections. EARLIER is another weight file, for comparison.
"""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from common.base.constants import LEVELS, QP, QUALITY, SCALES, SPLITS
from common.base.parallel import parallel_map
from common.data.pictures import read_rgb
from common.data.split import Split, read_split
from common.data.statistics import read_statistics
from common.evaluation.cache import cache_file, fetch
from common.evaluation.metrics import bootstrap_interval
from common.evaluation.report.baselines import CUBIC, fit_ridge, measure_gradients
from common.inference.predictor import Predictor
from common.inference.records import Failure
from common.models.regression import Regression
from common.training.regression import fit_regression
from common.video import h264, jpeg, quality
from tools.baselines import fit_gradients

MODEL, HEAD, REGRESSION = "MJ-LAT, as `predict` answers", "its head alone", "its regression alone"
CONSTANT = "baseline: always train's median"
TRIALS = {QP: 27, QUALITY: 30}  # QP or quality of the one trial encode
WORST = 5
CONTENTS, COLLECTIONS = (125, 250, 500), (3, 6, 12)  # points of the learning curve
DRAWS = 5  # random choices averaged at each point


def main(root: Path, weights: Path, cache: Path, earlier: Path | None = None) -> None:
    """Print all tables as Markdown, and write the levels of each held-out picture to a table."""
    train, valid, test = (read_split(root, name, levels_needed=True) for name in SPLITS)
    levels = predict_held_out([train, valid], test, weights, cache)
    if earlier:
        levels["the earlier default model"] = predict_alone(earlier, test)[0]
    collections = np.array([find_collection(content) for content in test.contents])
    print_errors("Held-out photographs", test, levels, np.ones(len(collections), bool))
    known = {find_collection(content) for content in train.contents}
    whole = ~np.isin(collections, [*known])
    print_errors("Of collections that train has none of", test, levels, whole)
    names, sizes = np.unique(collections, return_counts=True)
    for name in names[sizes > 1]:
        mark = "" if name in known else " (held out whole)"
        print_errors(f"Collection {name}{mark}", test, levels, collections == name)
    scale = SCALES[test.codec_name]
    ordered = bool((np.diff(levels[MODEL], axis=1) * (scale[-1] - scale[0]) > 0).all())
    print(f"\nJND1, JND2, JND3 from finer to coarser on all pictures: {ordered}\n")
    table = pd.DataFrame(test.known_levels, columns=[f"{level}_label" for level in LEVELS])
    table = table.join(pd.DataFrame(levels[MODEL], columns=LEVELS))
    table.insert(0, "content", test.contents)
    name = f"held_out{weights.stem.removeprefix('MJLAT')}.csv"
    table.to_csv(weights.with_name(name), index=False, float_format="%.2f")
    misses = np.abs(levels[MODEL] - test.known_levels).mean(axis=1)
    worst = table.assign(error=misses).nlargest(WORST, "error")
    print(worst.to_markdown(index=False, floatfmt=".1f"))
    print_learning_curve([train, valid], test, whole)


def find_collection(content: str) -> str:
    """Find the collection that a content is named after."""
    found = re.match(r"(?:graphic_)?(openstax-[a-z-]+(?=_)|kodim|[a-z]+\d*)", content)
    return found[1] if found else content


def predict_held_out(
    fitted: list[Split], test: Split, weights: Path, cache: Path
) -> dict[str, np.ndarray]:
    """Predict the levels [pictures, 3] of `test` with the model, its parts and the baselines.

    The baselines are fitted on the splits `fitted`, as the model's regression is.
    """
    head, regression = predict_alone(weights, test)
    levels = {}
    if regression:
        statistics = read_statistics(test)
        levels[MODEL] = regression.blend(head, statistics)
        if regression.share < 1:
            levels[REGRESSION] = regression.predict(statistics)
    levels[HEAD if regression else MODEL] = head
    true = np.concatenate([split.known_levels for split in fitted])
    contents = np.concatenate([split.contents for split in fitted])
    images = [image for split in fitted for image in split.images]
    gradients = np.concatenate([measure_gradients(split, cache) for split in fitted])
    of_test = measure_gradients(test, cache)
    for title, predict in fit_gradients(gradients, true, contents).items():
        levels[f"baseline: {title} on gradient percentiles"] = predict(of_test)
    codec = test.codec_name
    trials = [measure_trials(each, codec, cache) for each in (images, test.images)]
    predict = fit_ridge(CUBIC, trials[0], true, contents)
    setting = f"{'QP' if codec == QP else 'quality'} {TRIALS[codec]}"
    levels[f"baseline: one trial encode at {setting} and its VMAF"] = predict(trials[1])
    levels[CONSTANT] = np.tile(np.median(true, axis=0), (len(test.images), 1))
    return levels


def predict_alone(weights: Path, split: Split) -> tuple[np.ndarray, Regression | None]:
    """Predict a split's levels [pictures, 3] with a model's head alone; also return its regression.

    The view is that of `predict`, the centre.
    """
    predictor = Predictor("MJLAT", weights)
    regression, predictor.regression = predictor.regression, None
    levels = []
    for prediction in predictor.predict(split.images):
        if isinstance(prediction, Failure):
            raise prediction.error
        levels.append([*prediction.levels.values()])
    return np.array(levels, np.float32), regression


def measure_trials(images: list[Path], codec: str, cache: Path) -> np.ndarray:
    """Measure the VMAF [images, 1] of one encode of each picture at its own size."""
    setting, what = TRIALS[codec], "trial" if codec == QP else "trial-jpeg"

    def encode(image: Path) -> list[np.ndarray]:
        rgb = read_rgb(image)
        if codec == QP:
            scores = quality.score_streams([rgb], h264.encode_each([rgb], [[setting]]))[0]
        else:
            scores = quality.score_frames(rgb, [jpeg.decode(jpeg.encode(rgb, setting))])
        return [np.array(scores)]

    def compute(image: Path) -> np.ndarray:
        file = cache_file(cache, what, image, setting, quality.versions())
        return fetch(file, ["vmaf"], lambda: encode(image))[0]

    return np.array(parallel_map(compute, images, "trial encodes"))


def tabulate_errors(
    true: np.ndarray, levels: dict[str, np.ndarray], contents: np.ndarray
) -> pd.DataFrame:
    """Tabulate mean absolute errors per predictor and level of pictures with levels `true`.

    The mean over the levels has a 95 % interval by bootstrap over `contents`; the ratio divides it
    by the error of always answering the median of `true`.
    """
    rows = []
    for name, predicted in levels.items():
        errors = np.abs(predicted - true)
        low, high = bootstrap_interval(errors.mean(axis=1), contents)
        row = {"predictor": name, **dict(zip(LEVELS, errors.mean(axis=0)))}
        row["mean"] = f"{errors.mean():.2f} ({low:.2f} to {high:.2f})"
        row["bias"] = " ".join(f"{bias:+.2f}" for bias in (predicted - true).mean(axis=0))
        rows.append({**row, "ratio to their median's": errors.mean() / median_error(true)})
    return pd.DataFrame(rows)


def median_error(levels: np.ndarray) -> float:
    """Compute the mean absolute error of always answering the median of `levels` [pictures, 3]."""
    return float(np.abs(levels - np.median(levels, axis=0)).mean())


def print_errors(
    title: str, test: Split, levels: dict[str, np.ndarray], chosen: np.ndarray
) -> None:
    """Print the errors of the pictures where `chosen` [pictures] is true."""
    of_chosen = {name: predicted[chosen] for name, predicted in levels.items()}
    table = tabulate_errors(test.known_levels[chosen], of_chosen, test.contents[chosen])
    print(f"\n{title}: {chosen.sum()}\n")
    print(table.to_markdown(index=False, floatfmt=".2f"), flush=True)


def print_learning_curve(fitted: list[Split], test: Split, whole: np.ndarray) -> None:
    """Print the regression's error by the number of contents and of collections it is fitted on.

    Args:
        whole: bool [pictures], those of `test` whose collections `fitted` has none of.
    """
    statistics = np.concatenate([read_statistics(split) for split in fitted])
    true = np.concatenate([split.known_levels for split in fitted])
    contents = np.concatenate([split.contents for split in fitted])
    collections = np.array([find_collection(content) for content in contents])
    of_test, true_of_test = read_statistics(test)[whole], test.known_levels[whole]
    rows = []
    for what, values, points in (
        ("contents", contents, CONTENTS),
        ("collections", collections, COLLECTIONS),
    ):
        names = np.unique(values)
        for count in (*(point for point in points if point < len(names)), len(names)):
            errors = []
            for draw in range(DRAWS if count < len(names) else 1):
                drawn = np.random.default_rng(draw).choice(names, count, replace=False)
                chosen = np.isin(values, drawn)
                regression = fit_regression(statistics[chosen], true[chosen], contents[chosen])
                errors.append(np.abs(regression.predict(of_test) - true_of_test).mean())
            rows.append({"fitted on": f"{count} {what}", "error": np.mean(errors)})
    print(f"\nError of the regression alone, mean of {DRAWS} draws:\n")
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".2f"), flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
