"""Spelling of commands: scripts or modules in a clone, `laser-jnd` in an installation."""

import sys
from pathlib import Path

from .constants import DEFAULT_MODEL

# Commands whose module (`python3 -m common.NAME`) has another name.
_MODULE_NAMES = {"backbone": "reconstruct"} | {
    name: f"reconstruct {name}" for name in ("compress", "decompress", "entropy")
}


def program(*words: str) -> str:
    """Spell a command of this project as the user who started this process would type it.

    Args:
        words: a command of `laser-jnd` or the name of a model, and its arguments.
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
        return " ".join((f"python3 -m common.{_MODULE_NAMES.get(words[0], words[0])}", *words[1:]))
    if words[:1] == (DEFAULT_MODEL,) and len(words) > 1:
        words = words[1:]
    return " ".join((start, *words))
