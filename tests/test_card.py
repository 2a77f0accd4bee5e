"""The model card's figures on a small root, against a count by hand from the levels themselves."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.base.constants import QP
from common.data.manifest import COLUMNS, write_manifest
from common.data.statistics import STATISTICS, measure_statistics, write_statistics
from common.inference.predictor import Predictor
from common.models.labels import PROXY
from common.models.weights import add_regression
from common.training.regression import fit_regression
from tests import golden
from tests.synthetic import picture
from tools.card import find_collection, main

CONTENTS = {
    "train": [f"clic_{name}" for name in "abcde"],
    "valid": ["cid22_a"],
    "test": ["clic_f", "clic_g", "gb82_h", "gb82_i", "kodim01"],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Pictures of many contrasts, with levels that rise with it."""
    folder, rows = tmp_path_factory.mktemp("root"), []
    for split, contents in CONTENTS.items():
        (folder / split).mkdir()
        lines = []
        for number, content in enumerate(contents):
            contrast = 0.2 + 0.3 * (number * 3 % 7)
            frame = 128 + contrast * (picture(len(rows), 120, 200) - 128.0)
            frame = frame.clip(0, 255).astype(np.uint8)
            name = f"{split}/{content}_000.png"
            Image.fromarray(frame).save(folder / name)
            levels = [f"{20 + 5 * contrast + step + number % 3}" for step in (0, 4, 8)]
            lines.append(" ".join(levels))
            row = {"file": name, "content": content, "codec": QP, "level_kind": PROXY}
            row |= dict(zip(("jnd1", "jnd2", "jnd3"), levels))
            statistics = measure_statistics(frame).tolist()
            rows.append({**dict.fromkeys(COLUMNS, ""), **row, STATISTICS: statistics})
        (folder / split / "JND-Levels.txt").write_text("\n".join(lines))
    write_statistics(folder, rows)
    write_manifest(folder, rows)
    return folder


def read(root, split):
    """The pictures of a split, their statistics and their levels."""
    pictures = [np.asarray(Image.open(path)) for path in sorted((root / split).glob("*.png"))]
    statistics = np.stack([measure_statistics(each) for each in pictures])
    return pictures, statistics, np.loadtxt(root / split / "JND-Levels.txt", ndmin=2)


def mean_error(levels, true):
    return sum(abs(a - b) for a, b in zip(levels.ravel(), true.ravel())) / true.size


def medians(levels):
    """The median of each column, for one answer to all pictures."""
    ordered = np.sort(levels, axis=0)
    return (ordered[(len(levels) - 1) // 2] + ordered[len(levels) // 2]) / 2 + 0 * levels


def test_the_figures_are_those_of_a_count_by_hand(root, tmp_path, capsys):
    plain, weights = tmp_path / "plain.h5", tmp_path / "MJLAT.h5"
    golden.write_weights("MJLAT", plain)
    _, statistics, levels = read(root, "train")
    # Of equal share, so that the answer differs from the head's and from the regression's.
    fitted = fit_regression(statistics, levels, np.array(CONTENTS["train"]))
    add_regression(plain, weights, dataclasses.replace(fitted, share=0.5), overwrite=False)
    main(root, weights, tmp_path / "cache", plain)
    printed = capsys.readouterr().out

    pictures, of_test, true = read(root, "test")
    head = np.stack([Predictor("MJLAT", plain).levels(each) for each in pictures])
    both = np.stack([Predictor("MJLAT", weights).levels(each) for each in pictures])
    assert both == pytest.approx((head + fitted.predict(of_test)) / 2, abs=1e-3)
    known = np.concatenate([read(root, split)[2] for split in ("train", "valid")])
    constant = np.tile(medians(known)[0], (len(true), 1))
    for title, chosen in (
        ("Held-out photographs: 5", slice(None)),
        ("Of collections that train has none of: 3", slice(2, None)),
        ("Collection clic: 2", slice(0, 2)),
        ("Collection gb82 (held out whole): 2", slice(2, 4)),
    ):
        rows, of_chosen = table_below(printed, title), true[chosen]
        assert len(rows) == 9  # with five baselines
        for name, predicted in (
            ("MJ-LAT, as `predict` answers", both),
            ("its head alone", head),
            ("the earlier default model", head),
            ("its regression alone", fitted.predict(of_test)),
            ("baseline: always train's median", constant),
        ):
            *by_level, mean, bias, ratio = rows[name]
            expected = [mean_error(predicted[chosen][:, i], of_chosen[:, i]) for i in range(3)]
            assert by_level == pytest.approx(expected, abs=0.006)
            assert mean == pytest.approx(np.mean(expected), abs=0.006)
            first_bias = (predicted[chosen][:, 0] - of_chosen[:, 0]).mean()
            assert bias == pytest.approx(first_bias, abs=0.006)
            spread = mean_error(medians(of_chosen), of_chosen)
            assert ratio == pytest.approx(np.mean(expected) / spread, abs=0.006)
    assert "Collection kodim" not in printed  # a single photograph
    rising = all(a < b < c for a, b, c in both)
    assert f"JND1, JND2, JND3 from finer to coarser on all pictures: {rising}" in printed

    table = pd.read_csv(tmp_path / "held_out.csv")
    assert table.content.tolist() == CONTENTS["test"]
    assert table[["JND1", "JND2", "JND3"]].to_numpy() == pytest.approx(both, abs=0.006)
    assert table[["JND1_label", "JND2_label", "JND3_label"]].to_numpy() == pytest.approx(
        true, abs=0.006
    )


def test_the_last_point_of_the_learning_curve_is_the_fit_on_all(root, tmp_path, capsys):
    weights = tmp_path / "MJLAT.h5"
    golden.write_weights("MJLAT", weights)
    main(root, weights, tmp_path / "cache")
    statistics, levels = (
        np.concatenate([read(root, split)[part] for split in ("train", "valid")]) for part in (1, 2)
    )
    contents = np.array(CONTENTS["train"] + CONTENTS["valid"])
    _, of_test, true = read(root, "test")
    whole = slice(2, None)  # train has no gb82 and no kodim
    expected = mean_error(
        fit_regression(statistics, levels, contents).predict(of_test[whole]), true[whole]
    )
    rows = table_below(capsys.readouterr().out, "Error of the regression alone")
    assert rows["6 contents"] == pytest.approx([expected], abs=0.006)
    assert rows["2 collections"] == pytest.approx([expected], abs=0.006)


@pytest.mark.parametrize(
    ("content", "collection"),
    [
        ("cid22_1484678.webp", "cid22"),
        ("graphic_kde_5120x2880-605.webp", "kde"),
        ("kodim07.png", "kodim"),
        ("openstax-college-physics_figure-1.webp", "openstax-college-physics"),
        ("graphic_openstax_anthro-figure-08.webp", "openstax"),
    ],
)
def test_collections_are_read_from_names(content, collection):
    assert find_collection(content) == collection


def table_below(printed: str, title: str) -> dict[str, list[float]]:
    """Numbers of the rows of the Markdown table below `title`; of an interval, its middle alone."""
    lines = printed[printed.index(title) :].splitlines()[4:]
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines)
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    return {name: [float(number.split()[0]) for number in numbers] for name, *numbers in cells}
