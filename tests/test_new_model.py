"""The model that CONTRIBUTING.md adds: its diff, applied to a copy of the tree, is all it takes."""

import re
import shlex
import shutil
import subprocess

import pandas as pd
from PIL import Image

from tests import golden
from tests.processes import REPO, run


def test_the_diff_in_contributing_adds_a_model(tmp_path):
    page = (REPO / "CONTRIBUTING.md").read_text()
    (diff,) = re.findall(r"```diff\n(.+?)```", page, re.S)
    assert len(diff.splitlines()) < 60
    clone = tmp_path / "clone"
    shutil.copytree(REPO / "common", clone / "common", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "apply", "-"], input=diff, cwd=clone, text=True, check=True)

    for split in ("train", "valid", "test"):
        folder = clone / "data" / split
        folder.mkdir(parents=True)
        for number, frame in enumerate(golden.frames(2)):
            Image.fromarray(frame[..., ::-1]).save(folder / f"{number}.png")
        (folder / "JND-Levels.txt").write_text("24 30 36\n30 34 38\n")
    (clone / "backbones").mkdir()
    golden.write_weights("Backbone", clone / "backbones" / "JND1Reconstruction.h5")

    train, test = re.findall(r"^ {4}python3 (MEAN\.py .+)$", page, re.M)
    for command in (f"{train} --epochs 1", test):
        done = run(*shlex.split(command), cwd=clone)
        assert done.returncode == 0, done.stderr
    table = pd.read_csv(clone / "results" / "JND1test_predictions.csv")
    assert len(table) == 2 and table.JND1.between(1, 51).all()
