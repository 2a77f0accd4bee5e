"""docs/first-steps.ipynb, run from its first cell to its last."""

import re

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from tests.processes import REPO


def test_the_notebook_does_what_it_says():
    notebook = nbformat.read(REPO / "docs" / "first-steps.ipynb", as_version=4)
    where = {"metadata": {"path": str(REPO / "docs")}}
    NotebookClient(notebook, timeout=300, resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = "\n".join(
        each.get("text", "") + each.get("data", {}).get("text/plain", "") for each in outputs
    )
    # The first sample's levels, as the card lists them.
    stored = pd.read_csv(REPO / "weights" / "samples.csv").iloc[0]
    for name in ("JND1", "JND2", "JND3"):
        level = float(re.search(rf"'{name}': ([\d.]+)", said)[1])
        assert level == pytest.approx(stored[name], abs=0.1)
    assert sum("image/png" in each.get("data", {}) for each in outputs) == 2
    assert len(re.findall(r"^ +\d\.\d to \d\.\d", said, re.M)) == 3  # a scene per photograph
    before, after = map(int, re.findall(r"\.mp4': (\d+)", said))
    assert after < before
    learned, median = map(float, re.findall(r"(?:copies|median): ([\d.]+) QP", said))
    assert learned < median / 2
