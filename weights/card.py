"""The figures of README.md beside this: `python3 -m weights.card ROOT WEIGHTS CACHE`.

ROOT is what `make.sh` prepares as more/, of photographs whose names begin with their collection.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from common.base.constants import LEVELS
from common.data.split import Split, read_test_split, read_train_split
from common.evaluation.metrics import bootstrap_interval
from common.evaluation.report.rivals import rivals
from common.inference.predictor import Predictor


def main(root: Path, weights: Path, cache: Path) -> None:
    """Print all tables as Markdown, and write the levels of each held-out frame as held_out.csv."""
    train, test = read_train_split(root), read_test_split(root, levels_needed=True)
    answers = {"MJ-LAT": _levels(weights, test)}
    simple = rivals(train, test, cache).predictions
    for title in dict.fromkeys(title for title, _ in simple):
        answers[title] = np.stack([simple[title, level] for level in LEVELS], axis=1)
    answers["always the median"] = np.tile(np.median(train.levels, axis=0), (len(test.images), 1))

    first = np.array([name.endswith("_000.png") for name in test.names])
    collection_of = np.array([content.split("_")[0] for content in test.contents])
    _print("First cut-out of each", test, answers, first)
    _print("All held-out frames", test, answers, np.ones_like(first))
    names, sizes = np.unique(collection_of[first], return_counts=True)
    for collection in names[sizes > 1]:
        chosen = first & (collection_of == collection)
        _print(f"First cut-outs of {collection}", test, answers, chosen)
    predicted = answers["MJ-LAT"]
    print("levels rise on all:", bool((np.diff(predicted, axis=1) > 0).all()))
    seen = [place for place, name in enumerate(train.names) if name.endswith("_000.png")]
    few = train._replace(images=[train.images[place] for place in seen])
    told = train.levels[seen]
    ratio = np.abs(_levels(weights, few) - told).mean() / _spread(told)
    print(f"first cut-outs of train: {ratio:.3f} of their median's error")
    columns = {f"{level}_label": test.true(level) for level in LEVELS}
    columns |= {level: predicted[:, place] for place, level in enumerate(LEVELS)}
    table = pd.DataFrame({"image": test.names, "content": test.contents, **columns})
    table.to_csv(weights.with_name("held_out.csv"), index=False, float_format="%.2f")
    misses = table.assign(miss=np.abs(table.JND1 - table.JND1_label))[first]
    print(misses.nlargest(8, "miss").to_markdown(index=False, floatfmt=".1f"))


def _levels(weights: Path, split: Split) -> np.ndarray:
    levels = [each.levels for each in Predictor("MJLAT", weights).predict(split.images)]
    return np.concatenate(levels)


def _spread(levels: np.ndarray) -> float:
    """The error of always answering their own median."""
    return float(np.abs(levels - np.median(levels, axis=0)).mean())


def _print(title: str, test: Split, answers: dict[str, np.ndarray], chosen: np.ndarray) -> None:
    true, contents = test.levels[chosen], test.contents[chosen]
    rows = []
    for name, levels in answers.items():
        errors = np.abs(levels[chosen] - true)
        low, high = bootstrap_interval(errors.mean(axis=1), contents)
        row = {"predictor": name, **dict(zip(LEVELS, errors.mean(axis=0)))}
        interval = f"{errors.mean():.2f} ({low:.2f} to {high:.2f})"
        rows.append({**row, "mean": interval, "of the median's": errors.mean() / _spread(true)})
    print(f"\n{title}: {chosen.sum()} frames of {len(set(contents))} photographs\n")
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".2f"), flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
