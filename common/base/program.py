"""Commands as the user types them: by scripts, by modules of a clone, or by `laser-jnd`."""

import sys
from pathlib import Path

from .constants import DEFAULT_MODEL

# Commands that `python3 -m common.NAME` starts under another name.
_DOORS = {"backbone": "reconstruct"} | {
    name: f"reconstruct {name}" for name in ("compress", "decompress", "entropy")
}


def program(*words: str) -> str:
    """Write a command of this project as the user who started this process would type it.

    Args:
        words: a command of `laser-jnd`, or the name of a model, and what follows it.
    """
    package = Path(__file__).parents[1]
    started = Path(sys.argv[0])
    if started.name == "__main__.py" and started.absolute().parent == package:
        start = f"python3 -m {package.name}"
    elif started.stem == "laser-jnd" or package.name != "common":  # installed, without scripts
        start = "laser-jnd"
    elif not words:
        return "python3 -m common"
    elif (package.parent / f"{words[0]}.py").exists():
        return " ".join((f"python3 {words[0]}.py", *words[1:]))
    else:
        return " ".join((f"python3 -m common.{_DOORS.get(words[0], words[0])}", *words[1:]))
    if words[:1] == (DEFAULT_MODEL,) and len(words) > 1:
        words = words[1:]
    return " ".join((start, *words))
