"""The model card's figures on a small root, against a count by hand from the levels themselves."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.base.constants import QP
from common.data.manifest import COLUMNS, write_manifest
from common.inference.predictor import Predictor
from common.models.labels import PROXY
from tests import golden
from tests.synthetic import picture
from tools.card import main

# Photographs by split, and how many crops each has.
CONTENTS = {"train": [f"clic_{name}" for name in "abcde"], "test": ["clic_f", "clic_g", "gb82_h"]}
CROPS = 2


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Pictures of many contrasts, with levels that rise with it."""
    folder, rows = tmp_path_factory.mktemp("root"), []
    for split, contents in CONTENTS.items():
        (folder / split).mkdir()
        lines = []
        for number, (content, crop) in enumerate((c, i) for c in contents for i in range(CROPS)):
            contrast = 0.2 + 0.3 * (number * 3 % 7)
            frame = 128 + contrast * (picture(len(rows)) - 128.0)
            name = f"{split}/{content}_{crop:03}.png"
            Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(folder / name)
            levels = [f"{20 + 5 * contrast + step + number % 3}" for step in (0, 4, 8)]
            lines.append(" ".join(levels))
            row = {"file": name, "content": content, "codec": QP, "level_kind": PROXY}
            row |= dict(zip(("jnd1", "jnd2", "jnd3"), levels))
            rows.append({**dict.fromkeys(COLUMNS, ""), **row})
        (folder / split / "JND-Levels.txt").write_text("\n".join(lines))
    write_manifest(folder, rows)
    return folder


def predict(weights, folder):
    predictor = Predictor("MJLAT", weights)
    images = sorted(folder.glob("*.png"))
    return np.stack([predictor.levels(np.asarray(Image.open(image))) for image in images])


def mean_error(levels, true):
    return sum(abs(a - b) for a, b in zip(levels.ravel(), true.ravel())) / true.size


def medians(levels):
    """The median of each column, for one answer to all frames."""
    ordered = np.sort(levels, axis=0)
    return (ordered[(len(levels) - 1) // 2] + ordered[len(levels) // 2]) / 2 + 0 * levels


def test_the_figures_are_those_of_a_count_by_hand(root, tmp_path, capsys):
    weights = tmp_path / "MJLAT.h5"
    golden.write_weights("MJLAT", weights)
    main(root, weights, tmp_path / "cache")
    printed = capsys.readouterr().out

    predicted, of_train = (predict(weights, root / split) for split in ("test", "train"))
    true, true_of_train = (np.loadtxt(root / each / "JND-Levels.txt") for each in ("test", "train"))
    first = slice(0, None, CROPS)
    for title, chosen in (
        ("First crop of each photograph: 3 frames of 3 photographs", first),
        ("All crops: 6 frames of 3 photographs", slice(None)),
        ("First crops of clic: 2 frames of 2 photographs", slice(0, 4, CROPS)),
    ):
        rows, of_chosen = table_below(printed, title), true[chosen]
        assert len(rows) == 4  # with two baselines
        constant = medians(true_of_train)[: len(of_chosen)]
        for name, levels in (("MJ-LAT", predicted[chosen]), ("always train's median", constant)):
            *by_level, mean, ratio = rows[name]
            expected = [mean_error(levels[:, i], of_chosen[:, i]) for i in range(3)]
            assert by_level == pytest.approx(expected, abs=0.006)
            assert mean == pytest.approx(np.mean(expected), abs=0.006)
            spread = mean_error(medians(of_chosen), of_chosen)
            assert ratio == pytest.approx(np.mean(expected) / spread, abs=0.006)
    assert "First crops of gb82" not in printed  # a single photograph

    true_of_train = true_of_train[first]
    spread = mean_error(medians(true_of_train), true_of_train)
    printed_ratio = re.search(r"Error on train's first crops: ([\d.]+) of their median's", printed)
    expected = mean_error(of_train[first], true_of_train) / spread
    assert float(printed_ratio[1]) == pytest.approx(expected, abs=0.001)
    rising = all(a < b < c for a, b, c in predicted)
    assert f"JND1 < JND2 < JND3 on all frames: {rising}" in printed

    table = pd.read_csv(tmp_path / "held_out.csv")
    assert table.content.tolist() == [each for each in CONTENTS["test"] for _ in range(CROPS)]
    assert table[["JND1", "JND2", "JND3"]].to_numpy() == pytest.approx(predicted, abs=0.006)
    assert table[["JND1_label", "JND2_label", "JND3_label"]].to_numpy() == pytest.approx(
        true, abs=0.006
    )


def table_below(printed: str, title: str) -> dict[str, list[float]]:
    """Numbers of the rows of the Markdown table below `title`; of an interval, its middle alone."""
    lines = printed[printed.index(title) :].splitlines()[4:]
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines)
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    return {name: [float(number.split()[0]) for number in numbers] for name, *numbers in cells}
