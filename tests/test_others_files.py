"""Files that are not ours stay, what cannot be read is left out, and names are printed safely."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.base.errors import UserError, printable
from common.base.temporary import lock
from common.codec.bitstream import read_bitstream
from common.codec.entropy_model import EntropyModel, find_entropy_model
from common.commands import main as commands
from common.data.frames import read_rgb
from common.data.text import guard_cells, read_text
from common.inference.predictor import Predictor
from common.models.backbone import build_backbone
from common.models.weight_paths import entropy_file, find_weights
from common.models.weights import read_weight_file, read_weights
from common.training.checkpoint import read_state, reserve
from tests import golden
from tests.processes import REPO, one_line
from tests.synthetic import picture
from tools import benchmark

pytestmark = pytest.mark.tensorflow

DEFAULT = REPO / "weights" / "MJLAT.h5"
HOSTILE = "=1+1\n\x1b[31m\u202egnp.png"
SHOWN = r"=1+1\n\x1b[31m\u202egnp.png"


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "p.png"
    Image.fromarray(picture(1, 96, 128)).save(path)
    return path


@pytest.fixture
def predict(in_process, weights):
    def run(*arguments):
        given = ("predict", "--jnd_value", "JND1", "--model_weights_path", weights)
        return in_process("LAT.py", *given, *arguments)

    return run


@pytest.fixture
def run_test(in_process, weights, labelled_root, tmp_path):
    def run(*arguments):
        given = ("--model_weights_path", weights, "--data_dir", labelled_root)
        return in_process(
            *("LAT.py", "test", "--jnd_value", "JND1", *given, "--result_path", tmp_path),
            *arguments,
        )

    return run


@pytest.fixture
def backbone(tmp_path) -> tuple:
    """Options that name a backbone with an entropy model, which takes less time than MJ-LAT's."""
    golden.write_weights("Backbone", tmp_path / "JND1Reconstruction.h5")
    whole = build_backbone().whole
    read_weights(whole, tmp_path / "JND1Reconstruction.h5")
    EntropyModel().write(entropy_file(tmp_path / "JND1Reconstruction.h5"), whole)
    return "--target", "JND1", "--model_weights_path", tmp_path


@pytest.fixture
def main(capsys):
    """Run the `main` of another command; its exit code and what it said on stderr."""

    def run(command, *arguments):
        capsys.readouterr()
        try:
            words = [str(argument) for argument in arguments]
            code = command.main(words) if command is benchmark else commands.main(command, words)
        except SystemExit as stopped:
            code = stopped.code
        errors = capsys.readouterr().err.splitlines()
        # On a slow machine, progress is reported, too.
        return code, [
            line for line in errors if not re.match(r"Running on|\w+: \d+ of \d+ pictures", line)
        ]

    return run


def hashes(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Where to write


def test_predict_replaces_its_own_tables_alone(predict, photo, tmp_path):
    before, table = photo.read_bytes(), tmp_path / "levels.csv"
    for more in ((), ("--overwrite",)):
        done = predict(photo, "--csv", photo, *more)
        one_line(done, 1, photo, "is an input, which is never overwritten")
    assert photo.read_bytes() == before
    table.write_text("a,b\n1,2\n")
    one_line(predict(photo, "--csv", table), 1, table, "already exists", "--overwrite replaces it")
    assert table.read_text() == "a,b\n1,2\n"
    for more in (("--overwrite",), ()):
        assert predict(photo, "--csv", table, *more).returncode == 0
        assert list(pd.read_csv(table).file) == [str(photo)]
    for path, told in (("/dev/null", "is not a regular file"), (tmp_path, "is a folder")):
        one_line(predict(photo, "--csv", path), 1, path, told)


def test_test_replaces_its_own_results_alone(run_test, tmp_path):
    for _ in range(2):
        assert run_test().returncode == 0
    for name in ("test_results.csv", "test_predictions.csv", "test_metrics.csv", "test_frames.png"):
        path = tmp_path / f"JND1{name}"
        before = hashes(tmp_path)
        path.write_bytes(b"mine")
        one_line(run_test(), 1, path, "already exists and was not made by this program")
        assert hashes(tmp_path) == before | {path: b"mine"}
        path.write_bytes(before[path])
    path.write_bytes(b"mine")
    assert run_test("--overwrite").returncode == 0
    assert all(content != b"mine" for content in hashes(tmp_path).values())


def test_tables_replaces_its_own_files_alone(main, labelled_root, mj_weights, report, tmp_path):
    _, made = report
    out = tmp_path / "out"
    shutil.copytree(made, out)
    given = "--data_dir", labelled_root, "--model_weights_path", mj_weights, "--out", out
    assert main("tables", *given)[0] == 0  # all that the process before it made
    names = ["report.html", "tables.md", "bitrate.csv", "error_distribution_JND1.svg"]
    for name in (*names, "error_distribution_JND2.png"):
        content = (out / name).read_bytes()
        (out / name).write_bytes(b"mine")
        code, (line,) = main("tables", *given)
        assert code == 1 and f"{out / name}: already exists and was not" in line
        assert (out / name).read_bytes() == b"mine"
        (out / name).write_bytes(content)


def test_decompress_leaves_originals_alone(main, photo, backbone, tmp_path):
    pictures, coded = tmp_path / "pictures", tmp_path / "coded"
    pictures.mkdir()
    shutil.copy(photo, pictures)
    compress = "compress", *backbone, "--out", coded
    assert main("backbone", *compress, pictures) == (0, [])
    assert main("backbone", *compress, pictures) == (0, [])  # its own
    before = hashes(pictures)
    code, (line,) = main("backbone", "decompress", *backbone, coded, "--out", pictures)
    assert code == 1 and "p.png: already exists and was not made by this program" in line
    assert hashes(pictures) == before
    (coded / "p.png.latent").write_bytes(b"mine")
    code, (line,) = main("backbone", *compress, pictures)
    assert code == 1 and "p.png.latent: already exists" in line
    assert main("backbone", *compress, pictures, "--overwrite") == (0, [])
    assert read_bitstream(coded / "p.png.latent").width == 128


def test_decompressed_pictures_are_ours_and_replaced(main, photo, backbone, tmp_path):
    assert main("backbone", "compress", *backbone, "--out", tmp_path / "coded", photo)[0] == 0
    for _ in range(2):
        given = "decompress", *backbone, "--out", tmp_path / "out", tmp_path / "coded"
        assert main("backbone", *given) == (0, [])
    assert read_rgb(tmp_path / "out" / "p.png").shape == (352, 640, 3)


def test_what_is_no_bitstream_file_keeps_its_name_and_is_told(main, photo, backbone, tmp_path):
    others = [tmp_path / name for name in ("a.jpg", "b.jpg", "short")]
    for path in others:
        shutil.copy(photo, path)
    code, lines = main("backbone", "decompress", *backbone, *others, "--out", tmp_path / "out")
    assert code == 1
    for path in others:
        assert [f"{path}: not a bitstream file" in line for line in lines].count(True) == 1


def test_labels_beside_coded_pictures_are_not_replaced(main, labelled_root, backbone, tmp_path):
    out = tmp_path / "out"
    given = "compress", *backbone, "--data_dir", labelled_root, "--out", out
    assert main("backbone", *given)[0] == 0
    assert main("backbone", *given)[0] == 0  # the same labels
    (out / "test" / "JND-Levels.txt").write_text("20 25 30\n" * 3)
    code, (line,) = main("backbone", *given)
    assert code == 1 and "JND-Levels.txt: already exists; --overwrite replaces it" in line
    assert (out / "test" / "JND-Levels.txt").read_text() == "20 25 30\n" * 3


def test_compact_leaves_entropy_models_alone(main, tmp_path):
    prior = tmp_path / "small.JND2.entropy.npz"
    prior.write_bytes(b"mine")
    code, (line,) = main("compact", DEFAULT, tmp_path / "small.h5")
    assert code == 1 and f"{prior}: already exists; --overwrite replaces it" in line
    assert hashes(tmp_path) == {prior: b"mine"}
    assert main("compact", DEFAULT, tmp_path / "small.h5", "--overwrite") == (0, [])
    assert prior.read_bytes()[:2] == b"PK"
    code, (line,) = main("compact", tmp_path / "small.h5", tmp_path / "small.h5", "--overwrite")
    assert code == 1 and "is an input, which is never overwritten" in line


def test_benchmark_asks_before_it_measures(main, tmp_path):
    table = tmp_path / "speed.csv"
    table.write_text("mine")
    code, (line,) = main(benchmark, "predict", "--save", table)
    assert code == 1 and f"{table}: already exists and was not made by this program" in line
    assert table.read_text() == "mine"


def test_a_full_disk_is_told_as_such_by_export(main, small_disk):
    disk = small_disk("1m")
    for name in ("folder", "model.tflite"):
        code, (_, line) = main("export", DEFAULT, disk / name)  # after what is left out
        assert code == 1
        assert line.endswith(f"error: {disk / name}: No space left on device")
        assert list(disk.iterdir()) == []


def test_a_second_run_on_the_same_target_is_told_at_once(
    main, predict, run_test, photo, labelled_root, mj_weights, tmp_path
):
    data = "--data_dir", labelled_root, "--model_weights_path", mj_weights
    compress = "compress", "--model", "MJLAT", photo, "--out"
    for target, run in (
        ("a.csv", lambda path: predict(photo, "--csv", path).stderr.splitlines()),
        ("JND1test_results.csv", lambda _: run_test().stderr.splitlines()),
        ("tables", lambda path: main("tables", *data, "--out", path)[1]),
        (
            "c",
            lambda path: main("backbone", *compress, path)[1],
        ),
        ("small.h5", lambda path: main("compact", DEFAULT, path)[1]),
        ("exported", lambda path: main("export", DEFAULT, path)[1]),
        ("speed.csv", lambda path: main(benchmark, "predict", "--save", path)[1]),
    ):
        path = tmp_path / target
        if target in ("tables", "c"):
            path.mkdir()
        with lock(path):
            lines = [line for line in run(path) if not line.startswith("Running on")]
        (line,) = lines
        assert f"{path}: in use by another run" in line
    training = reserve(tmp_path / "best.h5", tmp_path / "logs.csv")
    with lock(tmp_path / "logs.csv"), pytest.raises(UserError, match="another run"), training:
        pass


# What to read


def test_what_cannot_be_read_is_left_out_and_the_rest_goes_on(predict, photo, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "empty").mkdir()
    bad = [tmp_path / "no.png", tmp_path / "pipe.png", Path("/dev/zero"), tmp_path / "empty"]
    done = predict(*bad, photo, tmp_path / ("x" * 300), "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert [each["file"] for each in document["inputs"]] == [str(photo)]
    told = {each["file"]: each["error"] for each in document["errors"]}
    assert len(told) == 5
    for path, why in zip(bad, ("no such file", "is a pipe", "not a regular", "no pictures")):
        assert why in told[str(path)]
    assert len([line for line in done.stderr.splitlines() if "left out: " in line]) == 5


def test_where_all_are_left_out_there_is_no_table(predict, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no picture")
    done = predict(tmp_path / "a.png", tmp_path / "b.png", "--csv", tmp_path / "new.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "none of the 2 inputs can be read"
    assert not (tmp_path / "new.csv").exists()
    done = predict(tmp_path / "a.png")
    one_line(done, 1, "left out: ", "a.png")
    done = predict(tmp_path / "no.png", tmp_path / "no2.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].endswith("error: none of the 2 inputs can be read")
    one_line(predict(""), 2, "empty name")


def test_compress_goes_on_past_what_it_cannot_read_or_write(main, photo, tmp_path):
    long = tmp_path / ("x" * 245 + ".png")
    shutil.copy(photo, long)
    os.mkfifo(tmp_path / "pipe.png")
    given = photo, tmp_path / "no.png", long, tmp_path / "pipe.png"
    out = tmp_path / "out"
    code, lines = main("backbone", "compress", "--model", "MJLAT", "--out", out, *given)
    assert code == 1 and [path.name for path in out.iterdir()] == ["p.png.latent"]
    assert len(lines) == 3 and all(line.startswith("left out: ") for line in lines)
    for told in ("no.png: no such file", ".latent: File name too long", "pipe.png: is a pipe"):
        assert any(told in line for line in lines)


def test_standard_input_is_read_where_it_is_a_file(photo, weights):
    given = [sys.executable, REPO / "LAT.py", "predict", "--jnd_value", "JND1"]
    given += ["--model_weights_path", weights, "/dev/stdin"]
    with photo.open() as file:
        done = subprocess.run(given, stdin=file, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(photo) in done.stdout
    piped = subprocess.run(given, input="x", capture_output=True, text=True)
    assert piped.returncode == 1
    assert (
        piped.stderr.splitlines()[-1] == "left out: /dev/stdin: is a pipe; save it as a file first"
    )


def _read_entropy_model(path):
    EntropyModel().read(path, build_backbone().whole)


@pytest.mark.parametrize(
    "read",
    [
        read_rgb,
        read_bitstream,
        read_weight_file,
        _read_entropy_model,
        lambda path: read_state(path, {}, []),
        lambda path: read_text(path, "levels"),
    ],
)
def test_only_regular_files_are_read(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    for path, told in (
        (Path("/dev/zero"), "is not a regular file"),
        (tmp_path / "pipe", "is a pipe; save it as a file first"),
        (tmp_path / "socket", "is not a regular file"),
    ):
        with pytest.raises(UserError, match=f"^{path}: {told}$"):
            read(path)


def test_weights_and_entropy_models_that_are_pipes(tmp_path):
    os.mkfifo(tmp_path / "LATJND1.h5")
    with pytest.raises(UserError, match=r"LATJND1\.h5: is a pipe"):
        find_weights(tmp_path / "LATJND1.h5", [])
    os.mkfifo(tmp_path / "x.entropy.npz")
    with pytest.raises(UserError, match="is not in"):
        find_entropy_model("0" * 32, [tmp_path])


# What is said


def test_names_are_printed_so_that_they_do_nothing(predict, photo, tmp_path):
    hostile = tmp_path / HOSTILE
    shutil.copy(photo, hostile)
    done = predict(hostile, tmp_path / f"no{HOSTILE}", "--csv", tmp_path / "a.csv")
    assert f"{tmp_path}/{SHOWN}" in done.stdout
    assert f"left out: {tmp_path}/no{SHOWN}: no such file" in done.stderr
    for text in (done.stdout, done.stderr):
        assert not set("\x1b\u202e") & set(text)
    done = predict(hostile, "--json")
    assert json.loads(done.stdout)["inputs"][0]["file"] == str(hostile)


def test_errors_are_printed_so_that_they_do_nothing(main, tmp_path):
    code, (line,) = main("compact", tmp_path / HOSTILE, tmp_path / "small.h5")
    assert code == 1 and f"{tmp_path}/{SHOWN}: no such file" in line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc\x7f\x9b", r"a\nb\tc\x7f\x9b"),
        ("\u2066x\u2028", r"\u2066x\u2028"),
        ("Grüße, 图.png", "Grüße, 图.png"),
        ("\udcff.png", r"\xff.png"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_is_printable_stays(text, shown):
    assert printable(text) == shown


def test_cells_that_a_spreadsheet_would_run_are_guarded():
    texts = ["=1+1", "+1+1", "-1+1", "@a", "\ta", "\ra", "-1.5", "a=1", ""]
    table = guard_cells(pd.DataFrame({"text": texts, "number": np.arange(9.0) - 5}))
    assert list(table.text) == [f"'{text}" for text in texts[:6]] + texts[6:]
    assert list(table.number) == list(np.arange(9.0) - 5)


# Python


def test_what_a_predictor_needs_is_said(weights):
    with pytest.raises(UserError, match="LAT predicts one level; say which of JND1, JND2, JND3"):
        Predictor("LAT", weights.parent)
    with pytest.raises(UserError, match="FOO: no such model; there are LAT, REC"):
        Predictor("FOO", weights)
    with pytest.raises(UserError, match="JND9: no such level"):
        Predictor("LAT", weights, "JND9")
    predictor = Predictor("LAT", weights)
    none = predictor.levels(np.zeros((0, 352, 640, 3), np.uint8))
    assert none.shape == (0, 1) and none.dtype == np.float32
    with pytest.raises(ValueError, match=r"not float64 \(0,\)"):
        predictor.levels([])
