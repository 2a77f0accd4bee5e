"""What the report keeps between runs, in files that several runs may share."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def kept(path: Path, *names: str) -> list[np.ndarray] | None:
    """The arrays `names` in a file of `common.files.write_arrays`.

    None where there is no such file or a damaged one: what it held is to be made again.
    """
    try:
        with np.load(path) as file:
            return [file[name] for name in names]
    # NumPy answers damaged files with whatever it stumbles on.
    except Exception:
        return None
