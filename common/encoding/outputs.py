"""The files that `encode` makes of its inputs, known before any work."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..base.errors import UserError
from ..base.files import check_regular
from ..data.kinds import PICTURE, VIDEO, kind
from ..data.listing import find_inputs
from .containers import CONTAINERS
from .picture_formats import FORMATS

_USUAL = ".mkv"  # holds whatever the other containers hold


class Pair(NamedTuple):
    """An input and the file to write."""

    path: Path
    target: Path
    note: str = ""  # on its name


class Outputs(NamedTuple):
    """The pictures and videos to encode."""

    pictures: list[Pair]
    videos: list[Pair]
    errors: dict[Path, UserError]  # by input: those that cannot be read


def is_file(inputs: Sequence[Path]) -> bool:
    """Check whether the inputs are a single file, which is not encoded into a folder."""
    return len(inputs) == 1 and not inputs[0].is_dir()


def find_outputs(inputs: Sequence[Path], output: Path, suffix: str) -> Outputs:
    """Pair each input, a file or all pictures and videos below a folder, with the file to write.

    Args:
        output: the file to write or, unless there is one input file, the folder to write into,
            where each file keeps its name or its path below the input.
        suffix: of pictures in a folder. Videos keep theirs if it names a container.

    Raises:
        UserError: there is no input, `output` is inside one or no folder, or a file would be
            written twice or be one of the inputs.
    """
    if is_file(inputs):
        return _pair_file(inputs[0], output, suffix)
    for folder in inputs:
        if folder.is_dir() and output.resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"{output}: is inside the folder of the inputs; name a folder elsewhere"
            )
    named_as_file = not output.exists() and output.suffix.lower() in {*CONTAINERS, *FORMATS}
    if named_as_file or (output.exists() and not output.is_dir()):
        raise UserError(f"{output}: is a file; several inputs are written into a folder")
    found = find_inputs(inputs, {PICTURE, VIDEO}, "pictures or videos")
    outputs = Outputs([], [], dict(found.errors))
    for path, below in found.files:
        _add(outputs, path, output / below, suffix)
    _check_targets([*outputs.pictures, *outputs.videos])
    return outputs


def _pair_file(path: Path, output: Path, suffix: str) -> Outputs:
    if not path.exists():
        raise UserError(f"{path}: no such file")
    check_regular(path)
    if path.is_relative_to("/dev"):
        # /dev/stdin (a shell's `<`) would be another file in the programs that we start.
        path = path.resolve()
    outputs = Outputs([], [], {})
    _add(outputs, path, output / path.name, suffix)
    if not output.is_dir():
        for pairs in (outputs.pictures, outputs.videos):
            pairs[:] = [Pair(pair.path, output) for pair in pairs]
    return outputs


def _add(outputs: Outputs, path: Path, target: Path, suffix: str) -> None:
    """Add a file with its output in a folder, whose suffix becomes one that can be written."""
    if kind(path) == PICTURE:
        outputs.pictures.append(Pair(path, target.with_suffix(suffix)))
    elif target.suffix.lower() in CONTAINERS:
        outputs.videos.append(Pair(path, target))
    else:
        old = path.suffix or "a name without a suffix"
        note = f"becomes a {_USUAL} file, because {old} names no container that can be written"
        outputs.videos.append(Pair(path, target.with_suffix(_USUAL), note))


def _check_targets(pairs: Sequence[Pair]) -> None:
    """Raise a UserError if two inputs would become one file, or a file would replace an input."""
    inputs = {each.path.resolve() for each in pairs}
    paths: dict[Path, Path] = {}
    for path, target, _ in pairs:
        if target in paths:
            both = f"{paths[target]} and {path}"
            raise UserError(f"{both} would both become {target}; rename one of them")
        if target.resolve() in inputs:
            raise UserError(
                f"{target}: is an input, which is never overwritten; name another folder"
            )
        paths[target] = path
