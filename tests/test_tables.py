"""`python3 -m common.tables` as a user runs it: files, second runs, bad input; and complexity."""

import re
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.base.errors import UserError
from common.commands.main import main
from common.commands.tables import spell_command
from common.evaluation.report import complexity
from common.evaluation.speed import Cost
from common.models.descriptions import MODELS
from tests import golden
from tests.conftest import PROXY_LABELS
from tests.processes import PREDICTS, one_line, run

# SPEC.md's.
WEIGHTS = {
    "LAT": 9_783_225,
    "REC": 8_078_384,
    "E2E-LAT": 11_226_812,
    "E2E-REC": 8_078_384,
    "MJ-LAT": 26_070_091,
    "MJ-REC": 13_886_928,
}
TABLES = ("prediction_error", "quality_error", "bitrate", "complexity")


def tables(root, weights, out, *more, **options):
    return run(
        *("-m", "common.tables", "--data_dir", root),
        *("--model_weights_path", weights, "--out", out, *more),
        **options,
    )


def test_what_it_writes(report, labelled_root):
    finished, out = report
    assert finished.returncode == 0, finished.stderr
    # The device once, though another process measures; the stages; no bars, nothing left out.
    stages = ("Predicting .* 3 images", "Measuring .*", "Fitting .*", "Encoding .*", "Writing .*")
    expected = rf"{stages[0]}\.\n{PREDICTS}" + "".join(f"{stage}\\.\\n" for stage in stages[1:])
    lines = [line for line in finished.stderr.splitlines(True) if ": " not in line]  # progress
    assert re.fullmatch(expected, "".join(lines)), finished.stderr
    assert str(out / "report.html") in finished.stdout
    plots = [
        f"{plot}_JND{order}{suffix}"
        for plot in ("predicted_against_true", "error_distribution", "error_against_complexity")
        for order in (1, 2, 3)
        for suffix in (".png", ".svg")
    ]
    csvs = [f"{table}.csv" for table in TABLES]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*plots, *csvs, "tables.md", "report.html", "cache"]
    )

    text = (out / "tables.md").read_text()
    assert text.count(PROXY_LABELS) == 4  # every table's caption
    assert "3 frames of 2 contents" in text
    assert "Published" not in text  # those errors are against viewers
    assert f"python3 -m common.tables --data_dir {labelled_root}" in text
    assert "cores" in text

    errors = pd.read_csv(out / "prediction_error.csv")
    assert errors.model.tolist() == ["MJ-LAT"] * 3
    assert errors.level.tolist() == ["JND1", "JND2", "JND3"]
    assert errors.median_label.tolist() == [25, 31, 36]
    assert errors.median_label_error.tolist() == pytest.approx([2, 4 / 3, 1], rel=1e-5)
    assert f"{errors.mean_absolute_error[0]:.2f}" in finished.stdout
    for path in out.glob("*.png"):
        Image.open(path).verify()


def test_the_errors_are_those_of_the_published_levels(report):
    predicted = np.array(golden.EXPECTED["MJLAT"]["levels"])
    expected = np.abs(predicted - [(24, 30, 36), (25, 31, 35), (30, 34, 38)]).mean(axis=0)
    errors = pd.read_csv(report[1] / "prediction_error.csv")
    assert errors.mean_absolute_error.tolist() == pytest.approx(expected.tolist(), abs=0.02)


def test_a_second_run_makes_nothing_anew(report, labelled_root, mj_weights, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(report[1], out)
    before = {path: path.stat().st_mtime_ns for path in (out / "cache").rglob("*.npz")}
    assert len([path for path in before if "levels" in path.parts]) == 3
    given = ("--data_dir", labelled_root, "--model_weights_path", mj_weights, "--out", out)
    assert main("tables", [str(argument) for argument in given]) == 0
    after = {path: path.stat().st_mtime_ns for path in (out / "cache").rglob("*.npz")}
    assert after == before
    for table in TABLES:
        made, kept = (pd.read_csv(folder / f"{table}.csv") for folder in (out, report[1]))
        pd.testing.assert_frame_equal(made, kept)


def test_costs_are_measured_anew_once_the_program_is_another(tmp_path, monkeypatch):
    monkeypatch.setattr(complexity, "PROGRAM", tmp_path)
    (tmp_path / "old.py").touch()
    for cpu_seconds, shown in ((1.25, 1.25), (2.5, 1.25), (2.5, 2.5)):
        if shown == 2.5:
            (tmp_path / "new.py").touch()
        cost = Cost(0.8, cpu_seconds, 3.5)
        monkeypatch.setattr(complexity, "measure_prediction", lambda *_, cost=cost: cost)
        table = complexity.measure_complexity(["LAT"], cache=tmp_path / "cache")
        assert table.values.cpu_seconds.tolist() == [shown]


def test_predictions_go_on_where_they_were_stopped(labelled_root, tmp_path):
    from common.evaluation.report.candidates import find_candidates
    from common.evaluation.report.predictions import predict_all

    golden.write_weights("LAT", tmp_path / "BestModelJND2.h5")
    images = sorted((labelled_root / "test").glob("*.png"))
    candidates = find_candidates(tmp_path)
    titles = [candidate.description.title for candidate in candidates]
    assert titles == ["LAT", "REC", "E2E-LAT", "E2E-REC"]  # any may have been trained there
    first, _ = predict_all(candidates, images, tmp_path / "cache")
    assert list(first) == [("LAT", "JND2")]
    expected = np.array(golden.EXPECTED["LAT"]["levels"])[:, 0]
    assert first["LAT", "JND2"] == pytest.approx(expected, rel=1e-3)

    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npz")}
    stopped_before = min(kept)
    stopped_before.unlink()
    again, _ = predict_all(candidates[:1], images, tmp_path / "cache")
    # Alone, a frame's sums are rounded in another order than in a batch.
    assert again["LAT", "JND2"] == pytest.approx(first["LAT", "JND2"], rel=1e-5)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npz")}
    assert {path for path in after if after[path] != kept[path]} == {stopped_before}


def test_damaged_predictions_are_made_again(labelled_root, tmp_path):
    from common.evaluation.report.candidates import find_candidates
    from common.evaluation.report.predictions import predict_all

    golden.write_weights("LAT", tmp_path / "LATJND1.h5")
    images = sorted((labelled_root / "test").glob("*.png"))
    candidates, cache = find_candidates(tmp_path), tmp_path / "cache"
    first = predict_all(candidates, images, cache)[0]["LAT", "JND1"]
    whole = {path: path.read_bytes() for path in cache.rglob("*.npz")}
    cut, empty, other = whole
    cut.write_bytes(whole[cut][:-40])
    empty.write_bytes(b"")
    np.savez(other, something=first)
    assert predict_all(candidates, images, cache)[0]["LAT", "JND1"].tolist() == first.tolist()
    assert {path: path.read_bytes() for path in cache.rglob("*.npz")} == whole


def test_nothing_of_other_runs_stays_beside_the_tables(tmp_path, monkeypatch):
    from common.evaluation.report import build
    from common.evaluation.report.table import Table

    plots = [f"error_distribution_JND{order}.{kind}" for order in (1, 3) for kind in ("png", "svg")]
    ours = ["tables.md", "report.html", "bitrate.csv", "prediction_error.csv", *plots]
    others = ["cache", "notes.md", "JND1.png", "error_distribution.png", "test_metrics.csv"]
    for name in (*ours, *others):
        (tmp_path / name).write_text("old")
    made = Table("bitrate", "Title", "Caption.", pd.DataFrame({"a": [1.0]}), {"A": "{a:.1f}"})
    with monkeypatch.context() as patched:
        patched.setattr(build, "write_csv", lambda *_, **__: 1 / 0)  # killed before the first
        with pytest.raises(ZeroDivisionError):
            build.write_tables([made], tmp_path, "command", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
    build.write_tables([made], tmp_path, "command", overwrite=True)
    new = ["bitrate.csv", "tables.md"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*new, *others])
    assert {(tmp_path / name).read_text() for name in others} == {"old"}


def test_every_file_it_writes_is_one_that_it_removes(report):
    from common.evaluation.report.build import RESULTS

    written = {path.name for path in report[1].iterdir()} - {"cache"}
    # Of these weights there is no entropy model, so nothing is told of the bitstream.
    assert written == set(RESULTS) - {"bitstream.csv"}


def test_folders_of_checkpoints(mj_weights, tmp_path, caplog):
    from common.evaluation.report.candidates import find_candidates
    from common.evaluation.report.predictions import predict_all

    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    golden.write_weights("LAT", tmp_path / "b" / "BestModelJND2.h5")
    for name in ("a", "c"):
        shutil.copy(mj_weights / "BestModel.h5", tmp_path / name)
    Image.fromarray(golden.frames(1)[0]).save(tmp_path / "frame.png")
    candidates = find_candidates(tmp_path)
    predictions, used = predict_all(candidates, [tmp_path / "frame.png"], tmp_path / "cache")
    assert {title for title, _ in predictions} == {"MJ-LAT", "LAT"}
    assert [each.file.parent.name for each in used] == ["a", "b"]
    left = [line for line in caplog.messages if "left out" in line]
    assert left == [f"left out: {tmp_path / 'c' / 'BestModel.h5'}: a second MJ-LAT for JND1"]


@pytest.mark.parametrize("option", ["--out", "--cache_dir"])
def test_a_file_where_a_folder_belongs(option, labelled_root, mj_weights, tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for place in (mine, mine / "below"):
        given = {"--data_dir": labelled_root, "--model_weights_path": mj_weights}
        given |= {"--out": tmp_path / "out", option: place}
        with pytest.raises(SystemExit) as stopped:
            main("tables", [str(word) for pair in given.items() for word in pair])
        (line,) = capsys.readouterr().err.splitlines()
        assert (stopped.value.code, f"{place}: cannot be made as a folder" in line) == (1, True)
    assert mine.read_text() == "mine"


def test_a_missing_package_is_named(labelled_root, mj_weights, tmp_path, missing):
    finished = tables(labelled_root, mj_weights, tmp_path / "out", env=missing("natsort"))
    one_line(finished, 1, "the package natsort is missing: pip install -r requirements.txt")


@pytest.mark.parametrize("first", [["tables"], ["--quiet", "tables"]])
def test_the_command_that_is_told_makes_the_tables_again(first):
    told = spell_command([*first, "--out", "tables", "--data_dir", "my data"])
    more = " ".join(word for word in first if word != "tables")
    expected = f"python3 -m common.tables {more} --out tables --data_dir 'my data'"
    assert told == re.sub(" +", " ", expected)


def test_complexity_is_measured(report):
    """Of the model above: weights of SPEC.md, and memory and speed that a process can have."""
    (row,) = pd.read_csv(report[1] / "complexity.csv").to_dict("records")
    assert (row["model"], row["weights"]) == ("MJ-LAT", WEIGHTS["MJ-LAT"])
    assert 0.3 < row["peak_memory_gb"] < 3
    assert 0.05 < row["frames_per_second"] < 200


def test_multiply_accumulates_of_lat_by_hand():
    from common.base.framework import tf
    from common.evaluation.report.complexity import count_multiply_accumulates
    from common.models.build import build_model

    # Positions x 5x5 x channels in x channels out; each of four halves the 352x640 frame.
    analysis = (
        176 * 320 * 25 * 3 * 128
        + 88 * 160 * 25 * 128 * 128
        + 44 * 80 * 25 * 128 * 128
        + 22 * 40 * 25 * 128 * 192
    )
    head = 22 * 40 * 9 * (192 * 64 + 64 * 128) + 11 * 20 * 9 * (128 * 256 + 256 * 512)
    # Two squeezes through C to C/8 to C each.
    attention = sum(2 * (c * (c // 8) + (c // 8) * c) for c in (64, 128, 256, 512))
    dense = 5 * 10 * 512 * 256 + 256 * 128 + 128 * 1
    lat = build_model(MODELS["LAT"])
    counts = count_multiply_accumulates(lat.whole)
    assert counts == {"Conv2D": analysis + head, "Dense": attention + dense}
    # The same layers are in other models, too, and a forward pass runs the graph.
    lat.predicting(tf.zeros((1, 352, 640, 3)))
    assert sum(count_multiply_accumulates(lat.predicting).values()) == 8_783_669_376


def test_multiply_accumulates_of_a_transposed_convolution_by_hand():
    from common.evaluation.report.complexity import count_multiply_accumulates
    from common.models.backbone import build_backbone

    # Each value of what goes in meets 5x5 weights for each channel that comes out.
    synthesis = (
        22 * 40 * 25 * 192 * 128
        + 44 * 80 * 25 * 128 * 128
        + 88 * 160 * 25 * 128 * 128
        + 176 * 320 * 25 * 128 * 3
    )
    assert count_multiply_accumulates(build_backbone().whole)["Conv2DTranspose"] == synthesis


def test_complexity_alone_counts_all_six(monkeypatch, capsys, tmp_path):
    # Only what is counted: measuring the largest takes minutes.
    monkeypatch.setattr(complexity, "measure_prediction", lambda *_: Cost(0.8, 1.25, 3.5))
    assert main("tables", ["--complexity", "--out", str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "complexity.csv").set_index("model")
    assert rows.weights.to_dict() == WEIGHTS
    # Without its JND frame E2E-LAT predicts as LAT does.
    counts = rows.multiply_accumulates
    assert counts["E2E-LAT"] == counts["LAT"] == 8_783_669_376
    assert rows.peak_memory_gb.eq(3.5).all()
    shown = capsys.readouterr().out
    assert "| MJ-REC  | 13,886,928 |" in shown
    assert shown.strip() in (tmp_path / "tables.md").read_text()


def test_a_table_as_text_and_on_the_page(tmp_path):
    from common.data.split import Split
    from common.evaluation.report.page import write_page
    from common.evaluation.report.plots import PLOTS
    from common.evaluation.report.table import Table, markdown

    values = {"model": ["A|B", "C<D>"], "error": [1.2, np.nan], "low": [1.0, 2.0]}
    values |= {"level": ["JND1", "JND2"], "mean_absolute_error": 1.5, "median_label_error": 2.5}
    table = Table(
        "name", "Title", "Caption & all.", pd.DataFrame(values),
        {"Model": "{model}", "Error": "{error:.2f}", "Both": "{low:.1f} to {error:.1f}"},
    )  # fmt: skip
    lines = markdown(table).splitlines()
    assert lines[:4] == ["## Title", "", "Caption & all.", ""]
    cells = [
        [cell.strip() for cell in line.replace(r"\|", "I").split("|")[1:-1]] for line in lines[4:]
    ]
    assert cells[0] == ["Model", "Error", "Both"]
    assert cells[2:] == [["AIB", "1.20", "1.0 to 1.2"], ["C<D>", "\u2013", "\u2013"]]
    # Words to the left, numbers to the right.
    assert [(rule[0], rule[-1]) for rule in cells[1]] == [(":", "-"), ("-", ":"), ("-", ":")]
    assert len({len(line) for line in lines[4:]}) == 1

    levels = np.array([[25, 30, 35]], np.float32)
    split = Split(
        root=tmp_path / "\udcff<b>",
        images=[tmp_path / "\udcff<b>/test/a.png"],
        levels=levels,
        rows=[],
    )
    frames = [{"name": "</script><b>", "error": 1.0}]
    page = tmp_path / "report.html"
    plots = {plot: {} for plot in PLOTS}
    write_page(page, split, "C<D>", [table], plots, frames, {"Command": "<b>"})
    text = page.read_text(encoding="utf-8")
    assert "Caption &amp; all." in text
    assert '<td class="text" data-heading="Model">C&lt;D&gt;</td>' in text
    assert '<td class="number" data-heading="Error">1.20</td>' in text
    assert "mean error of C&lt;D&gt; for JND2; the median label's is 2.50" in text
    assert "<b>" not in text
    assert r"JND prediction: " + str(tmp_path) + r"/\udcff&lt;b&gt;" in text


def test_help_is_quick_and_shows_examples(standard_library):
    finished = run("-m", "common.tables", "--help", env=standard_library)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "python3 -m common.tables --complexity" in finished.stdout
    assert "cache/ in --out" in finished.stdout
    assert finished.cpu < 0.5


def test_usage_errors(no_tensorflow, tmp_path):
    one_line(run("-m", "common.tables", env=no_tensorflow), 2, "--data_dir is missing")
    arguments = ("-m", "common.tables", "--complexity", "--data_dir", tmp_path)
    one_line(run(*arguments, env=no_tensorflow), 2, "--complexity needs no --data_dir")


def test_what_is_missing_is_named_before_tensorflow(
    labelled_root, mj_weights, tmp_path, no_tensorflow
):
    def failing(root, weights, *parts, more=()):
        out = tmp_path / "out"
        one_line(tables(root, weights, out, *more, env=no_tensorflow), 1, *parts)
        assert not out.exists()

    empty = tmp_path / "empty"
    empty.mkdir()
    single = [f"{name}JNDk.h5" for name in MODELS if not name.startswith("MJ")]
    failing(labelled_root, empty, empty, *single, "MJREC.h5", "BestModelJNDk.h5")
    failing(labelled_root, empty / "no", "no such file or folder", "LATJNDk.h5", "BestModel.h5")

    failing(empty, mj_weights, empty / "test: no such folder")
    (empty / "test").mkdir()
    failing(empty, mj_weights, empty / "test: no images in it")
    shutil.copy(labelled_root / "test" / "0.png", empty / "test")
    failing(empty, mj_weights, empty / "test" / "JND-Levels.txt: no such file")
    labels = ("--labels", empty)
    failing(labelled_root, mj_weights, "common.tables: error", empty, more=labels)
    none = tmp_path / "none"
    failing(labelled_root, mj_weights, none, "VideoSet's folder", more=("--labels", none))


def test_samples_of_other_pictures_are_no_floor(
    labelled_root, mj_weights, shared, tmp_path, no_tensorflow
):
    labels = ("--labels", shared / "labels")
    finished = tables(labelled_root, mj_weights, tmp_path / "out", *labels, env=no_tensorflow)
    one_line(finished, 1, shared / "labels", "no viewer's answers")
    workbook = ("--labels", shared / "labels" / "MCL-JCI_JND_samples.xlsx")
    finished = tables(labelled_root, mj_weights, tmp_path / "out", *workbook, env=no_tensorflow)
    one_line(finished, 1, "H.264 QP")


def test_a_file_named_after_another_model_is_refused(labelled_root, tmp_path):
    from common.evaluation.report.candidates import find_candidates
    from common.evaluation.report.predictions import predict_all

    images = sorted((labelled_root / "test").glob("*.png"))
    golden.write_weights("Backbone", tmp_path / "MJLAT.h5")
    with pytest.raises(UserError, match=r"MJLAT.h5: holds another model"):
        predict_all(find_candidates(tmp_path), images, tmp_path / "cache")
    (tmp_path / "MJLAT.h5").rename(tmp_path / "BestModelJND1.h5")  # of no model at all
    with pytest.raises(UserError, match=r"BestModelJND1.h5: holds another model"):
        predict_all(find_candidates(tmp_path), images, tmp_path / "cache")
    other = tmp_path / "mine.h5"
    other.write_text("no weights")
    with pytest.raises(UserError, match=r"mine.h5: not a complete Keras HDF5 weight file"):
        predict_all(find_candidates(other), images, tmp_path / "cache")


def test_a_bad_image_is_named(labelled_root, tmp_path):
    from common.evaluation.report.candidates import find_candidates
    from common.evaluation.report.predictions import predict_all

    golden.write_weights("LAT", tmp_path / "LATJND1.h5")
    half = tmp_path / "half.png"
    half.write_bytes((labelled_root / "test" / "1.png").read_bytes()[:9000])
    with pytest.raises(UserError, match=r"half.png: cannot be read as an image"):
        predict_all(find_candidates(tmp_path), [half], tmp_path / "cache")


def test_weights_of_another_codec_are_refused(labelled_root, mj_weights, tmp_path, capsys):
    """Also if their levels are known from a run on data of their own codec."""
    weights, out = tmp_path / "MJLAT-jpeg.h5", tmp_path / "out"
    weights.write_bytes((mj_weights / "BestModel.h5").read_bytes())
    with h5py.File(weights, "a") as file:
        file.attrs["labels_codec"] = "JPEG quality"
    given = ("--data_dir", labelled_root, "--model_weights_path", weights, "--out", out)
    with pytest.raises(SystemExit) as stopped:
        main("tables", [str(each) for each in given])
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 1 and not out.exists()
    assert "has levels in H.264 QP, but" in line and "predicts levels in JPEG quality" in line


def test_one_file_of_any_name_may_be_a_multitask_models(tmp_path):
    from common.evaluation.report.candidates import find_candidates

    for name, titles, certain in (
        ("MJLAT-jpeg.h5", ["MJ-LAT"], True),
        ("LATJND2-jpeg.h5", ["LAT"], True),
        ("refined.h5", ["MJ-LAT", "MJ-REC"], False),
    ):
        (tmp_path / name).touch()
        found = find_candidates(tmp_path / name)
        assert [each.description.title for each in found] == titles
        assert all(each.certain == certain for each in found)
    assert (
        found[0].level is None and find_candidates(tmp_path / "LATJND2-jpeg.h5")[0].level == "JND2"
    )
