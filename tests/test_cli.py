"""The six scripts as a user runs them: processes, files, exit codes."""

import argparse
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common import __version__
from common.base.constants import QP
from common.commands.options import fraction, rate
from common.data.manifest import COLUMNS, write_manifest
from common.inference.runtime import choose_runtime
from common.models.descriptions import MODELS
from common.models.labels import VIEWERS
from tests import golden
from tests.processes import PREDICTS, REPO, one_line, run

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LEVEL = {
    name: None if model.multitask else f"JND{len(name) % 3 + 1}" for name, model in MODELS.items()
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A ROOT that has a test set and nothing else: nine frames, the seeded three in turn."""
    root = tmp_path_factory.mktemp("data")
    (root / "test").mkdir()
    frames = golden.frames()
    for number in range(9):
        Image.fromarray(frames[number % 3][..., ::-1]).save(
            root / "test" / f"frame{number + 2}.bmp"
        )
    return root


@pytest.fixture(scope="module")
def lat_weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lat")
    golden.write_weights("LAT", folder / "LATJND1.h5")
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_the_published_test_command(name, data, tmp_path):
    description, level = MODELS[name], LEVEL[name]
    weights, results = tmp_path / "weights", tmp_path / "new" / "results"
    weights.mkdir()
    golden.write_weights(name, weights / f"{name}{level or ''}.h5")
    few = data
    if description.sees == "reconstruction":  # a second per frame; three show it too
        few = tmp_path / "few"
        (few / "test").mkdir(parents=True)
        for number in (2, 3, 4):
            (few / "test" / f"frame{number}.bmp").symlink_to(data / "test" / f"frame{number}.bmp")
    count = len(list((few / "test").iterdir()))
    end_to_end = (
        "--ImgReconstrution_Model_Path" if description.end_to_end else "--JND_Recon_Models_Path"
    )
    finished = run(
        f"{name}.py", "test", *(["--jnd_value", level] if level else []),
        "--data_dir", f"{few}/", "--model_weights_path", f"{weights}/",
        "--result_path", f"{results}/", end_to_end, "nowhere/",
        env={"TF_NUM_INTRAOP_THREADS": "0"},  # all cores, as a user's; it is about memory, too
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert re.fullmatch(PREDICTS, finished.stderr)

    prefix = level or ""
    assert sorted(path.name for path in results.iterdir()) == [
        f"{prefix}test_predictions.csv",
        f"{prefix}test_results.csv",
    ]
    expected = np.tile(golden.EXPECTED[name]["levels"], (count // 3, 1))
    plain = np.loadtxt(results / f"{prefix}test_results.csv", delimiter=",", ndmin=2)
    assert plain == pytest.approx(expected, rel=1e-3)
    named = pd.read_csv(results / f"{prefix}test_predictions.csv")
    assert list(named.columns) == ["image", *([level] if level else ["JND1", "JND2", "JND3"])]
    assert list(named.image) == [f"frame{number}.bmp" for number in range(2, 2 + count)]
    assert named.iloc[:, 1:].to_numpy() == pytest.approx(plain)
    assert finished.memory < 2.5


def test_known_levels_give_errors_beside_the_baseline(in_process, data, lat_weights, tmp_path):
    root = tmp_path / "root"
    (root / "test").mkdir(parents=True)
    for number in (2, 3, 4):
        (root / "test" / f"frame{number}.bmp").symlink_to(data / "test" / f"frame{number}.bmp")
    # In any order, by name; LAT says 20.15, 19.81, 19.88.
    (root / "test" / "JND-Levels.txt").write_text(
        "frame4.bmp 20 40 41\nframe2.bmp 22 40 41\nframe3.bmp 24 40 41\n"
    )
    finished = in_process(
        "LAT.py", "test", "--jnd_value", "JND1", "--data_dir", root,
        "--model_weights_path", lat_weights / "LATJND1.h5", "--result_path", tmp_path,
        "--batch_size", 2,
    )  # fmt: skip
    assert finished.returncode == 0
    metrics = pd.read_csv(tmp_path / "JND1test_metrics.csv").iloc[0]
    error = (22 - 20.1508 + 24 - 19.8089 + 20 - 19.8770) / 3
    assert metrics.mean_absolute_error == pytest.approx(error, abs=1e-3)
    assert metrics.median_label_error == pytest.approx((0 + 2 + 2) / 3, abs=1e-5)
    assert metrics.mean_absolute_error_low < error < metrics.mean_absolute_error_high
    assert f"{error:.2f}" in finished.stdout
    assert "(95 % interval, over 3 images)" in finished.stdout
    assert "1.33  (median 22)" in finished.stdout
    named = pd.read_csv(tmp_path / "JND1test_predictions.csv")
    assert list(named.JND1_label) == [22, 24, 20]


def test_of_many_images_the_worst_are_told(in_process, data, lat_weights, tmp_path):
    root = tmp_path / "root"
    (root / "test").mkdir(parents=True)
    frame = data / "test" / "frame2.bmp"
    # LAT says 20.15 of it.
    true = [20, 21, 40, 20, 19, 33, 25, 20, 22, 18, 30, 20, 10]
    for number in range(len(true)):
        (root / "test" / f"{number}.bmp").symlink_to(frame)
    (root / "test" / "JND-Levels.txt").write_text("".join(f"{level} 50 51\n" for level in true))
    finished = in_process(*lat_test(root, lat_weights, tmp_path / "results"))
    assert finished.returncode == 0
    told = re.findall(r"^(\d+)\.bmp ", finished.stdout, re.M)
    assert told == ["0", "1", "2", "4", "5", "6", "8", "9", "10", "12"]
    assert "(the 10 with the largest errors; " in finished.stdout
    (root / "test" / "JND-Levels.txt").unlink()
    finished = in_process(*lat_test(root, lat_weights, tmp_path / "results"))
    assert re.findall(r"^(\d+)\.bmp ", finished.stdout, re.M) == [str(n) for n in range(10)]
    assert "(the first 10; " in finished.stdout


def lat_test(root, weights, results, *more):
    """Arguments of `LAT.py test`, as a user gives them."""
    where = ("--data_dir", root, "--model_weights_path", weights, "--result_path", results)
    return ("LAT.py", "test", "--jnd_value", "JND1", *where, *more)


def test_the_interval_is_over_contents(in_process, labelled_root, lat_weights, tmp_path):
    """Of two contents a draw holds the one twice, both, or the other twice: 1/4, 1/2, 1/4."""
    finished = in_process(*lat_test(labelled_root, lat_weights, tmp_path))
    assert finished.returncode == 0, finished.stderr
    assert "(95 % interval, over 2 contents)" in finished.stdout
    metrics = pd.read_csv(tmp_path / "JND1test_metrics.csv").iloc[0]
    assert (metrics.frames, metrics.contents) == (3, 2)
    # LAT says 20.15 and 19.81 where a's are 24 and 25, and 19.88 where b's is 30.
    ends = (24 - 20.1508 + 25 - 19.8089) / 2, 30 - 19.8770
    found = metrics.mean_absolute_error_low, metrics.mean_absolute_error_high
    assert found == pytest.approx(ends, abs=1e-3)


def test_a_single_content_tells_no_interval(in_process, data, lat_weights, tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.bmp").symlink_to(data / "test" / "frame2.bmp")
    (tmp_path / "test" / "JND-Levels.txt").write_text("22 40 41")
    finished = in_process(*lat_test(tmp_path, lat_weights, tmp_path))
    assert finished.returncode == 0, finished.stderr
    assert "1.85  (unknown)" in finished.stdout
    assert "nan" not in finished.stdout
    assert finished.stderr == ""


def test_no_result_of_other_data_stays(in_process, labelled_root, data, lat_weights, tmp_path):
    results = tmp_path / "results"
    assert in_process(*lat_test(labelled_root, lat_weights, results)).returncode == 0
    kind = {f"JND1test_{name}" for name in ("results.csv", "predictions.csv", "metrics.csv")}
    kind.add("JND1test_frames.png")
    assert {path.name for path in results.iterdir()} == kind
    others = {"JND2test_metrics.csv", "test_metrics.csv", "JND1test_metrics.csv.bak", "notes.txt"}
    for name in others:
        (results / name).write_text("someone's")
    assert in_process(*lat_test(data, lat_weights, results)).returncode == 0
    left = {"JND1test_results.csv", "JND1test_predictions.csv"}
    assert {path.name for path in results.iterdir()} == left | others
    assert {(results / name).read_text() for name in others} == {"someone's"}


def test_a_run_that_fails_leaves_the_results_there_were(
    in_process, labelled_root, lat_weights, tmp_path
):
    results = tmp_path / "results"
    assert in_process(*lat_test(labelled_root, lat_weights, results)).returncode == 0
    before = {path: path.read_bytes() for path in results.iterdir()}
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "bad.png").touch()
    one_line(in_process(*lat_test(tmp_path, lat_weights, results)), 1, "bad.png", "--skip_bad")
    assert {path: path.read_bytes() for path in results.iterdir()} == before


def test_killed_between_two_files_it_leaves_no_old_ones(
    in_process, labelled_root, lat_weights, tmp_path, monkeypatch
):
    from common.evaluation import predictor

    for name in ("results.csv", "predictions.csv", "metrics.csv", "frames.png"):
        (tmp_path / f"JND1test_{name}").write_text("old")
    write, calls = predictor.write_csv, []

    def killed(*arguments, **options):
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt
        write(*arguments, **options)

    monkeypatch.setattr(predictor, "write_csv", killed)
    killed_run = in_process(*lat_test(labelled_root, lat_weights, tmp_path), "--overwrite")
    assert killed_run.returncode == 130
    (left,) = tmp_path.iterdir()
    assert left.name == "JND1test_results.csv"
    assert left.read_text() != "old"


def redirected(where, *arguments, env=None):
    """`python ARGUMENTS` in a shell that sends its output elsewhere."""
    command = ["sh", "-c", f'exec "$@" {where}', "sh", sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True)


def test_names_of_any_bytes_where_the_locale_is_ascii_and_stdout_closed(
    data, lat_weights, tmp_path
):
    root, results = tmp_path / "root", tmp_path / "results"
    (root / "test").mkdir(parents=True)
    rows = []
    for number, name in enumerate(["\u00f6".encode(), b"z\xff"], 2):
        os.symlink(
            data / "test" / f"frame{number}.bmp", os.fsencode(root / "test") + b"/" + name + b".bmp"
        )
        shown = name.decode("utf-8", "backslashreplace")
        told = {"file": f"test/{shown}.bmp", "content": shown, "codec": QP, "level_kind": VIEWERS}
        levels = {"jnd1": "20", "jnd2": "30", "jnd3": "40"}
        rows.append({**dict.fromkeys(COLUMNS, ""), **told, **levels})
    write_manifest(root, rows)
    (root / "test" / "JND-Levels.txt").write_text("20 30 40\n21 31 41\n")
    finished = redirected(">&-", *lat_test(root, lat_weights, results), env={**os.environ, **ASCII})
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("\n") == 1  # what it runs on
    named = pd.read_csv(results / "JND1test_predictions.csv", encoding="utf-8")
    assert named.image.tolist() == ["\u00f6.bmp", r"z\xff.bmp"]
    assert named.JND1.tolist() == pytest.approx([20.1508, 19.8089], abs=1e-3)
    assert (results / "JND1test_frames.png").stat().st_size > 1000


def test_a_full_stdout_is_one_line(data, lat_weights, tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.bmp").symlink_to(data / "test" / "frame2.bmp")
    finished = redirected(">/dev/full", *lat_test(tmp_path, lat_weights, tmp_path / "results"))
    one_line(finished, 1, "No space left on device")
    assert (tmp_path / "results" / "JND1test_predictions.csv").exists()


OWN_COMMANDS = ("train", "test", "predict", "encode")
HELP = [("MJLAT.py",), *(("MJLAT.py", command) for command in OWN_COMMANDS)]
HELP += [(f"{name}.py", "test") for name in MODELS]
HELP += [("-m", "common", command) for command in (*OWN_COMMANDS, "entropy", "prepare")]
HELP += [("-m", f"common.{door}") for door in ("prepare", "reconstruct", "tables")]
HELP += [("-m", "common.reconstruct", command) for command in ("train", "test", "compress")]
HELP += [("-m", "common.prepare", "photos"), ("-m", "common", "compact"), ("-m", "common.export")]


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_is_quick_and_shows_an_example(words, standard_library):
    finished = run(*words, "--help", env=standard_library)
    assert (finished.returncode, finished.stderr) == (0, "")
    started = f"python3 {' '.join(words)}"
    assert finished.stdout.startswith(f"usage: {started} ")
    example = f"^[ ']+python3 {' '.join(words[:-1] or words)}"
    assert re.search(example, finished.stdout, re.M)
    assert finished.cpu < 0.5


def test_the_program_lists_its_commands_and_tells_its_version(standard_library):
    finished = run("-m", "common", "--help", env=standard_library)
    for command in (*OWN_COMMANDS, *MODELS, "prepare", "backbone", "tables", "export"):
        assert re.search(rf"^    {command} +[a-z]", finished.stdout, re.M), command
    assert "python3 -m common predict photo.jpg" in finished.stdout
    finished = run("-m", "common", "--version", env=standard_library)
    assert finished.stdout == f"LASeR-JND {__version__}\n"


def test_limit_takes_the_first_inputs_alone(in_process, data, lat_weights, tmp_path):
    finished = in_process(*lat_test(data, lat_weights, tmp_path, "--limit", 2))
    assert finished.returncode == 0 and "2 images" in finished.stdout
    named = pd.read_csv(tmp_path / "JND1test_predictions.csv")
    assert named.image.tolist() == ["frame2.bmp", "frame3.bmp"]
    asked = ("--jnd_value", "JND1", "--model_weights_path", lat_weights, "--limit", 3)
    finished = in_process("LAT.py", "predict", data / "test", *asked)
    assert re.findall(r"frame\d+", finished.stdout) == ["frame2", "frame3", "frame4"]


def test_weights_of_another_codec_are_refused(in_process, labelled_root, lat_weights, tmp_path):
    """Errors of JPEG qualities against QPs would mean nothing."""
    weights = tmp_path / "LATJND1.h5"
    weights.write_bytes((lat_weights / "LATJND1.h5").read_bytes())
    with h5py.File(weights, "a") as file:
        file.attrs["labels_codec"] = "JPEG quality"
    words = ("has levels in H.264 QP, but", weights, "predicts levels in JPEG quality")
    one_line(in_process(*lat_test(labelled_root, weights, tmp_path / "out")), 1, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text, number", [("0.00", 0), ("0", 0), ("1.00", 1), ("1", 1), ("5e-1", 0.5), (" 0.25 ", 0.25)]
)
def test_fractions(text, number):
    assert fraction(text) == number
    if number < 1:
        assert rate(text) == number


@pytest.mark.parametrize("text", ["1.01", "-0.5", "nan", "half", "inf", ""])
def test_numbers_that_are_no_fractions(text):
    for convert in (fraction, rate):
        with pytest.raises(argparse.ArgumentTypeError):
            convert(text)


def test_the_log_is_told_unless_quiet(in_process, data, lat_weights, tmp_path):
    """A process logs once what it runs on."""
    choose_runtime.cache_clear()
    asked = lat_test(data, lat_weights, tmp_path)
    assert re.fullmatch(PREDICTS, in_process(*asked).stderr)
    choose_runtime.cache_clear()
    assert in_process(*asked, "--quiet", "--overwrite").stderr == ""


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((), "COMMAND"),
        (("tset",), "invalid choice: 'tset'"),
        (("train", "--jnd_value", "JND1"), "--data_dir"),
        (("test",), "--jnd_value"),
        (("test", "--jnd_value", "JND4"), "JND4"),
        (("test", "--batch_size", "0"), "0 is less than 1"),
        (("test", "--batch", "many"), "many"),
        (("test", "--precision", "half"), "half"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(arguments, said, no_tensorflow):
    one_line(run("LAT.py", *arguments, env=no_tensorflow), 2, said)


def test_what_is_missing_is_named_before_tensorflow(data, lat_weights, tmp_path, no_tensorflow):
    def test(root, weights, results=tmp_path / "r", level="JND1"):
        return run(
            "LAT.py", "test", "--jnd_value", level, "--data_dir", root,
            "--model_weights_path", weights, "--result_path", results, env=no_tensorflow,
        )  # fmt: skip

    one_line(test(tmp_path / "no", lat_weights), 1, tmp_path / "no" / "test: no such folder")
    (tmp_path / "empty" / "test").mkdir(parents=True)
    one_line(test(tmp_path / "empty", lat_weights), 1, "no images in it")
    one_line(test(data, lat_weights, level="JND3"), 1, "LATJND3.h5", "BestModelJND3.h5", 11080876)
    one_line(test(data, tmp_path / "no.h5"), 1, "no.h5: no such folder or file")
    (tmp_path / "file").touch()
    one_line(test(data, lat_weights, tmp_path / "file"), 1, tmp_path / "file")
    one_line(test(data, lat_weights, tmp_path / "file" / "r"), 1, tmp_path / "file")
    labelled = tmp_path / "labelled" / "test"
    labelled.mkdir(parents=True)
    (labelled / "a.png").touch()
    (labelled / "JND-Levels.txt").write_text("25 30 35\n26 31 36\n")
    one_line(test(labelled.parent, lat_weights), 1, "2 lines of levels for 1 images")
    (labelled / "JND-Levels.txt").write_text("25 nan 35\n")
    one_line(test(labelled.parent, lat_weights), 1, labelled / "JND-Levels.txt, line 1: level nan")
    (labelled / "JND-Levels.txt").unlink()
    (labelled.parent / "manifest.csv").write_text("name,size\na.png,0\n")
    one_line(test(labelled.parent, lat_weights), 1, "manifest.csv: no column file, split")
    levels = {"jnd1": "25", "jnd2": "30", "jnd3": "35"}
    row = {**dict.fromkeys(COLUMNS, ""), **levels, "file": "test/a.png", "codec": "H.265 QP"}
    write_manifest(labelled.parent, [row])
    one_line(test(labelled.parent, lat_weights), 1, "manifest.csv: levels of codec H.265 QP;")
    write_manifest(labelled.parent, [{**row, "file": "test/b.png", "codec": QP}])
    one_line(test(labelled.parent, lat_weights), 1, "manifest.csv: no row for test/a.png; remove")
    assert not (tmp_path / "r").exists() or not list((tmp_path / "r").iterdir())


def test_bad_images_stop_it_or_are_skipped(in_process, data, lat_weights, tmp_path):
    root = tmp_path / "root"
    (root / "test").mkdir(parents=True)
    (root / "test" / "frame2.bmp").symlink_to(data / "test" / "frame2.bmp")
    half = (data / "test" / "frame3.bmp").read_bytes()[:9000]
    (root / "test" / "frame3.bmp").write_bytes(half)
    (root / "test" / "frame4.png").touch()
    (root / "test" / "JND-Levels.txt").write_text("20 1 1\n21 1 1\n22 1 1\n")
    arguments = (
        "LAT.py", "test", "--jnd_value", "JND1", "--data_dir", root,
        "--model_weights_path", lat_weights, "--result_path", tmp_path / "results",
    )  # fmt: skip
    finished = in_process(*arguments)
    one_line(finished, 1, root / "test" / "frame", "cannot be read as an image", "--skip_bad")
    assert not (tmp_path / "results").exists()

    finished = in_process(*arguments, "--skip_bad")
    assert finished.returncode == 0
    assert "1 images, 2 skipped" in finished.stdout
    assert "frame3.bmp: cannot be read" in finished.stderr
    assert "frame4.png: cannot be read" in finished.stderr
    named = pd.read_csv(tmp_path / "results" / "JND1test_predictions.csv")
    assert named.image.tolist() == ["frame2.bmp"]
    assert named.JND1_label.tolist() == [20]


def test_another_models_weights_are_refused(in_process, data, tmp_path):
    golden.write_weights("Backbone", tmp_path / "LATJND1.h5")
    finished = in_process(
        "LAT.py", "test", "--jnd_value", "JND1", "--data_dir", data,
        "--model_weights_path", tmp_path, "--result_path", tmp_path / "results",
    )  # fmt: skip
    file, what = tmp_path / "LATJND1.h5", "by its size it is a backbone's"
    one_line(finished, 1, file, "holds another model", "should be", "but is", what)
    assert not (tmp_path / "results").exists()


def test_a_terminal_shows_a_progress_bar_until_the_end(data, lat_weights, tmp_path):
    shown, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    process = subprocess.Popen(
        [
            sys.executable, "LAT.py", "test", "--jnd_value", "JND1", "--data_dir", str(data),
            "--model_weights_path", str(lat_weights), "--result_path", str(tmp_path),
        ],
        cwd=REPO, stdout=subprocess.PIPE, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    text = b""
    while process.poll() is None or b"/9" not in text:
        try:
            text += os.read(shown, 4096)
        except OSError:  # the other side is closed
            break
    process.communicate()
    assert b"0/9" in text and text.endswith(b" \r")


def test_help_in_a_folder_that_was_removed(tmp_path):
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" -m common predict --help'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "") and "example" in done.stdout
