"""Figures of the model card, weights/README.md: `python3 -m tools.card ROOT WEIGHTS CACHE`.

ROOT is the dataset root more/ of weights/make.sh; its photographs' names begin with the name of
their collection.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from common.base.constants import LEVELS
from common.data.split import Split, read_split
from common.evaluation.metrics import bootstrap_interval
from common.evaluation.report.baselines import predict_baselines
from common.inference.predictor import Predictor
from common.inference.records import Failure

MODEL, CONSTANT = "MJ-LAT", "always train's median"
_FIRST = "_000.png"  # the end of the name of a photograph's first crop


def main(root: Path, weights: Path, cache: Path) -> None:
    """Print all tables as Markdown, and write the levels of each held-out frame to held_out.csv."""
    train, test = (read_split(root, name, levels_needed=True) for name in ("train", "test"))
    levels = predict_held_out(train, test, weights, cache)
    first = np.array([name.endswith(_FIRST) for name in test.names])
    collections = np.array([content.split("_")[0] for content in test.contents])
    _print_errors("First crop of each photograph", test, levels, first)
    _print_errors("All crops", test, levels, np.ones_like(first))
    names, sizes = np.unique(collections[first], return_counts=True)
    for collection in names[sizes > 1]:
        chosen = first & (collections == collection)
        _print_errors(f"First crops of {collection}", test, levels, chosen)
    rising = bool((np.diff(levels[MODEL], axis=1) > 0).all())
    print(f"JND1 < JND2 < JND3 on all frames: {rising}")
    print(f"Error on train's first crops: {train_ratio(train, weights):.3f} of their median's")
    true = pd.DataFrame(test.known_levels, columns=[f"{level}_label" for level in LEVELS])
    table = true.join(pd.DataFrame(levels[MODEL], columns=LEVELS))
    table.insert(0, "image", test.names)
    table.insert(1, "content", test.contents)
    table.to_csv(weights.with_name("held_out.csv"), index=False, float_format="%.2f")
    misses = table.assign(miss=np.abs(table.JND1 - table.JND1_label))[first]
    print(misses.nlargest(8, "miss").to_markdown(index=False, floatfmt=".1f"))


def predict_held_out(
    train: Split, test: Split, weights: Path, cache: Path
) -> dict[str, np.ndarray]:
    """Predict the levels [frames, 3] of `test` with the model, the baselines and train's median."""
    levels = {MODEL: _predict(weights, test.images)}
    baselines = predict_baselines(train, test, cache).predictions
    for title in dict.fromkeys(title for title, _ in baselines):
        levels[title] = np.stack([baselines[title, level] for level in LEVELS], axis=1)
    levels[CONSTANT] = np.tile(np.median(train.known_levels, axis=0), (len(test.images), 1))
    return levels


def train_ratio(train: Split, weights: Path) -> float:
    """Compute the error on the first crops of `train`, as a fraction of their median's error."""
    first = [index for index, name in enumerate(train.names) if name.endswith(_FIRST)]
    images = [train.images[index] for index in first]
    levels, true = _predict(weights, images), train.known_levels[first]
    return float(np.abs(levels - true).mean() / median_error(true))


def tabulate_errors(
    true: np.ndarray, levels: dict[str, np.ndarray], contents: np.ndarray
) -> pd.DataFrame:
    """Tabulate mean absolute errors per predictor and level of frames with levels `true`.

    The mean over the levels has a 95 % interval by bootstrap over `contents`; the ratio divides it
    by the error of always answering the median of `true`.
    """
    rows = []
    for name, predicted in levels.items():
        errors = np.abs(predicted - true)
        low, high = bootstrap_interval(errors.mean(axis=1), contents)
        row = {"predictor": name, **dict(zip(LEVELS, errors.mean(axis=0)))}
        row["mean"] = f"{errors.mean():.2f} ({low:.2f} to {high:.2f})"
        rows.append({**row, "ratio to their median's": errors.mean() / median_error(true)})
    return pd.DataFrame(rows)


def median_error(levels: np.ndarray) -> float:
    """Compute the mean absolute error of always answering the median of `levels` [frames, 3]."""
    return float(np.abs(levels - np.median(levels, axis=0)).mean())


def _predict(weights: Path, images: list[Path]) -> np.ndarray:
    levels = []
    for prediction in Predictor("MJLAT", weights).predict(images, "stretched"):
        if isinstance(prediction, Failure):
            raise prediction.error
        levels.append([*prediction.levels.values()])
    return np.array(levels, np.float32)


def _print_errors(
    title: str, test: Split, levels: dict[str, np.ndarray], chosen: np.ndarray
) -> None:
    """Print the errors of the frames where `chosen` [frames] is true."""
    contents = test.contents[chosen]
    of_chosen = {name: predicted[chosen] for name, predicted in levels.items()}
    table = tabulate_errors(test.known_levels[chosen], of_chosen, contents)
    print(f"\n{title}: {chosen.sum()} frames of {len(set(contents))} photographs\n")
    print(table.to_markdown(index=False, floatfmt=".2f"), flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
