"""Mistakes with the six scripts and the other commands: one line each, and nothing is lost.

Those with common.prepare are in test_prepare_mistakes.py.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests import golden
from tests.processes import REPO, one_line, run
from tests.synthetic import hashes, picture

HERE = {"PYTHONPATH": str(REPO)}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder to be wrong in: data and weights, and much that is not what it should be."""
    folder = tmp_path_factory.mktemp("place")
    for split, count in (("train", 2), ("valid", 1), ("test", 1)):
        (folder / "data" / split).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(picture(number, 64, 96))
            image.save(folder / "data" / split / f"{number}.png")
        (folder / "data" / split / "JND-Levels.txt").write_text("25 30 35\n" * count)
    for name in ("b", "w", "nan", "text", "empty", "folders", "begun"):
        (folder / name).mkdir()
    golden.write_weights("Backbone", folder / "b/JND1Reconstruction.h5")
    shutil.copy(folder / "b/JND1Reconstruction.h5", folder / "nan")
    with h5py.File(folder / "nan/JND1Reconstruction.h5", "r+") as file:
        file["conv2d/conv2d/bias:0"][3] = np.nan
    golden.write_weights("LAT", folder / "w/LATJND1.h5")
    (folder / "text/LATJND1.h5").write_text("no weights")
    (folder / "text/ImgReconstruction.h5").write_text("no weights")
    (folder / "file").write_text("a file")
    (folder / "folders/BestModelJND1.h5").mkdir()
    (folder / "folders/ImgReconstruction.h5").mkdir()
    for name in ("BestModelJND1.h5", "ImgReconstruction.h5"):
        (folder / "begun" / name).write_text("the best epoch so far")
    for name, line in {
        "four": "25 30 35 40", "comma": "25,5 30,5 35,5", "beyond": "90 95 99",
        "negative": "25 -30 35", "nan levels": "25 nan 35", "two": "25 30",
    }.items():  # fmt: skip
        shutil.copytree(folder / "data", folder / name)
        (folder / name / "test/JND-Levels.txt").write_text(f"{line}\n")
    shutil.copytree(folder / "data", folder / "levels folder")
    (folder / "levels folder/train/JND-Levels.txt").unlink()
    (folder / "levels folder/train/JND-Levels.txt").mkdir()
    (folder / "phone/test").mkdir(parents=True)
    for number in range(3):
        (folder / f"phone/test/{number}.heic").touch()
    return folder


def test_command(*more: str) -> list[str]:
    given = {"--jnd_value": "JND1", "--data_dir": "data", "--model_weights_path": "w"}
    return _with(["LAT.py", "test"], {**given, "--result_path": "new"}, more)


def train_command(*more: str) -> list[str]:
    given = {"--jnd_value": "JND1", "--data_dir": "data", "--JND_Recon_Models_Path": "b"}
    given |= {"--checkpoint_path": "new", "--csv_log_path": "new", "--epochs": "1"}
    return _with(["LAT.py", "train"], given, more)


def stage_1(*more: str) -> list[str]:
    given = {"--target": "Img", "--data_dir": "data", "--checkpoint_path": "new"}
    given |= {"--csv_log_path": "new", "--epochs": "1", "--crop": "32"}
    return _with(["-m", "common.reconstruct", "train"], given, more)


def stage_1_test(*more: str) -> list[str]:
    given = {"--target": "Img", "--data_dir": "data", "--model_weights_path": "text"}
    return _with(["-m", "common.reconstruct", "test"], {**given, "--result_path": "new"}, more)


def tables(*more: str) -> list[str]:
    given = {"--data_dir": "data", "--model_weights_path": "w", "--out": "new"}
    return _with(["-m", "common.tables"], given, more)


def _with(command: list[str], given: dict[str, str], more: tuple[str, ...]) -> list[str]:
    """The command with its options, but where `more` says otherwise."""
    kept = [word for name, value in given.items() if name not in more for word in (name, value)]
    return [*command, *kept, *more]


for helper in (test_command, train_command, stage_1, stage_1_test, tables):
    helper.__test__ = False  # it is none


MISTAKES = [
    (train_command("--seed", "-1"), 2, "-1 is less than 0"),
    (train_command("--seed", str(2**40)), 2, f"{2**40} is above 4294967295"),
    (train_command("--seed", "7.5"), 2, "'7.5' is not a whole number"),
    (train_command("--learning_rate", "1e300"), 2, "1e300 is out of float32's range"),
    (train_command("--learning_rate", "inf"), 2, "inf is out of float32's range"),
    (train_command("--learning_rate", "1e-60"), 2, "1e-60 is out of float32's range"),
    (train_command("--batch_size", "9" * 30), 2, "is above 2147483647"),
    (train_command("--batch_size", "-8"), 2, "-8 is less than 1"),
    (train_command("--epochs", "1e3"), 2, "'1e3' is not a whole number"),
    (train_command("--checkpoint_path", "file"), 1, "file: cannot be made as a folder"),
    (train_command("--csv_log_path", "file/new"), 1, "file/new: cannot be made as a folder"),
    (train_command("--cache_dir", "file"), 1, "file: cannot be made as a folder"),
    (train_command("--tensorboard", "file"), 1, "file: cannot be made as a folder"),
    (train_command("--checkpoint_path", "folders"), 1, "BestModelJND1.h5: is a folder"),
    (train_command("--checkpoint_path", "folders", "--resume"), 1, "BestModelJND1.h5: is a folder"),
    (train_command("--checkpoint_path", "begun"), 1, "already exists; --resume continues"),
    (train_command("--checkpoint_path", "begun", "--resume"), 1, "stateJND1.npz: no such file"),
    (train_command("--JND_Recon_Models_Path", "file"), 1, "file: not a complete Keras HDF5"),
    (train_command("--JND_Recon_Models_Path", "nan"), 1, "has NaN or infinite weights, in /conv2d"),
    (train_command("--JND_Recon_Models_Path", "w/LATJND1.h5"), 1, "holds another model"),
    (train_command("--data_dir", "levels folder"), 1, "train/JND-Levels.txt: "),
    (train_command("--data_dir", "empty"), 1, "empty/train: no such folder"),
    (test_command("--data_dir", "four"), 1, "test/JND-Levels.txt, line 1: "),
    (test_command("--data_dir", "comma"), 1, "test/JND-Levels.txt, line 1: "),
    (test_command("--data_dir", "beyond"), 1, "level 90 is not within H.264 QP 0 to 51"),
    (test_command("--data_dir", "negative"), 1, "line 1: level -30 is not within"),
    (test_command("--data_dir", "nan levels"), 1, "line 1: level nan is not within"),
    (test_command("--data_dir", "two"), 1, "line 1: 2 levels"),
    (test_command("--data_dir", "phone"), 1, "3 files that are not pictures (.heic)"),
    (test_command("--data_dir", "file"), 1, "file/test: no such folder"),
    (test_command("--model_weights_path", "text"), 1, "LATJND1.h5: not a complete Keras HDF5"),
    (test_command("--model_weights_path", "folders"), 1, "folders: no LATJND1.h5 or BestModelJND1"),
    (test_command("--result_path", "file"), 1, "file: cannot be made as a folder"),
    (test_command("--batch_size", str(10**12)), 2, "is above 2147483647"),
    (stage_1("--learning_rate", "1e39"), 2, "1e39 is out of float32's range"),
    (stage_1("--seed", "-1"), 2, "-1 is less than 0"),
    (["-m", "common.compact", "a", "b", "c"], 2, "unrecognized arguments: c (see --help)"),
    (stage_1("--crop", "sixteen"), 2, "'sixteen' is not a whole number"),
    (stage_1("--checkpoint_path", "begun"), 1, "already exists; --resume continues"),
    (stage_1("--checkpoint_path", "begun", "--resume"), 1, "state.npz: no such file"),
    (stage_1("--checkpoint_path", "folders"), 1, "ImgReconstruction.h5: is a folder"),
    (stage_1("--init", "nan/JND1Reconstruction.h5"), 1, "has NaN or infinite weights"),
    (stage_1_test(), 1, "ImgReconstruction.h5: not a complete Keras HDF5"),
    (stage_1_test("--model_weights_path", "w/LATJND1.h5"), 1, "holds another model"),
    (stage_1_test("--result_path", "file"), 1, "file: cannot be made as a folder"),
    (tables("--out", "file"), 1, "file: cannot be made as a folder"),
    (tables("--cache_dir", "file"), 1, "file: cannot be made as a folder"),
    (tables("--labels", "file"), 1, "file: "),
    (tables("--model_weights_path", "text"), 1, "LATJND1.h5: not a complete Keras HDF5"),
    (tables("--data_dir", "beyond"), 1, "level 90 is not within"),
    (["-m", "common.compact", "w/LATJND1.h5", "file/new.h5"], 1, "file"),
    (["-m", "common.compact", "data", "new.h5"], 1, "data: cannot be read (Is a directory)"),
    (["-m", "common.compact", "nan/JND1Reconstruction.h5", "new.h5"], 1, "has NaN or infinite"),
    (["-m", "common.compact", "w/LATJND1.h5"], 2, "OUT"),
    (["-m", "tools.benchmark", "predict", "--frames", "0"], 2, "0 is less than 1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    MISTAKES,
    ids=[" ".join([*a[:2], *a[-2:]]).replace("\n", "") for a, _, _ in MISTAKES],
)
def test_a_mistake_is_one_line(place, arguments, code, told):
    before = hashes(place)
    script = [REPO / arguments[0]] if arguments[0].endswith(".py") else arguments[:1]
    one_line(run(*script, *arguments[1:], cwd=place, env=HERE), code, told)
    after = {name: value for name, value in hashes(place).items() if not name.startswith("new/")}
    assert after == before
    shutil.rmtree(place / "new", ignore_errors=True)


def test_a_package_that_is_missing_is_named(tmp_path, place):
    (tmp_path / "h5py.py").write_text("raise ModuleNotFoundError('no', name='h5py')")
    env = {"PYTHONPATH": f"{tmp_path}:{REPO}"}
    cold = [*test_command(), "--no_model_cache"]
    for command in (["-m", "common.compact", "w/LATJND1.h5", "new.h5"], cold):
        command[0] = str(REPO / command[0]) if command[0].endswith(".py") else command[0]
        finished = run(*command, cwd=place, env=env)
        one_line(finished, 1, "the package h5py is missing: pip install -r requirements.txt")


@pytest.mark.parametrize(
    ("closed", "said"), [(">&- 2>&-", ""), ("> /dev/full", "No space left on device")]
)
def test_where_nothing_can_be_printed(place, closed, said):
    command = f"{sys.executable} -m common.compact b/JND1Reconstruction.h5 new/small.h5 {closed}"
    env = {**os.environ, **HERE}
    done = subprocess.run(
        command, shell=True, cwd=place, stderr=subprocess.PIPE, text=True, env=env
    )
    assert (done.returncode, done.stderr.count("\n")) == (bool(said), bool(said))
    assert said in done.stderr
    assert (place / "new/small.h5").exists()
    shutil.rmtree(place / "new")


def test_what_nobody_foresaw_is_one_line_with_details_in_a_file(tmp_path):
    program = (
        "from common.base.errors import exit_on_error\n"
        "with exit_on_error('the command'):\n"
        "    from common.data.frames import resize\n"
        "    resize(7)\n"
    )
    env = {**HERE, "TMPDIR": str(tmp_path)}
    finished = run("-c", program, env=env)
    (details,) = tmp_path.iterdir()
    one_line(finished, 1, "the command: error: AttributeError in resize, frames.py:", details)
    assert "Traceback" in details.read_text()
