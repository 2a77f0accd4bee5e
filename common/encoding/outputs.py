"""The files that `encode` makes of its inputs, known before any work."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..base.errors import UserError, report_skipped
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


def find_outputs(inputs: Sequence[Path], output: Path, suffix: str, codec: str) -> Outputs:
    """Pair each input, a file or all pictures and videos below a folder, with the file to write.

    Args:
        output: the file to write or, unless there is one input file, the folder to write into,
            where each file keeps its name or its path below the input.
        suffix: of pictures in a folder.
        codec: ffmpeg's name of the videos' format. Videos keep their suffix if it names a
            container that can hold it.

    Raises:
        UserError: there is no input, a single one is neither a picture nor a video, `output` is
            inside an input folder or no folder, or a file would be written twice or replace one of
            the inputs.
    """
    if is_file(inputs):
        return _pair_file(inputs[0], output, suffix, codec)
    for folder in inputs:
        if folder.is_dir() and output.resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"{output}: is inside the folder of the inputs; name a folder elsewhere"
            )
    named_as_file = not output.exists() and output.suffix.lower() in {*CONTAINERS, *FORMATS}
    if named_as_file or (output.exists() and not output.is_dir()):
        what = "is the name of a file" if named_as_file else "is a file"
        raise UserError(f"{output}: {what}; several inputs are written into a folder")
    found = find_inputs(inputs, {PICTURE, VIDEO}, "pictures or videos")
    outputs = Outputs([], [], dict(found.errors))
    for path, below in found.files:
        try:
            _add(outputs, path, output / below, suffix, codec)
        except UserError as error:
            report_skipped(error)
            outputs.errors[path] = error
    _check_targets([*outputs.pictures, *outputs.videos])
    return outputs


def leave_out_existing(outputs: Outputs) -> tuple[Outputs, list[Pair]]:
    """Leave out the pairs whose file exists already; also return these."""
    existing = [each for each in (*outputs.pictures, *outputs.videos) if each.target.is_file()]
    made = {each.target for each in existing}
    pictures, videos = (
        [each for each in pairs if each.target not in made]
        for pairs in (outputs.pictures, outputs.videos)
    )
    return Outputs(pictures, videos, outputs.errors), existing


def _pair_file(path: Path, output: Path, suffix: str, codec: str) -> Outputs:
    if not path.exists():
        raise UserError(f"{path}: no such file")
    check_regular(path)
    if path.is_relative_to("/dev"):
        # /dev/stdin (a shell's `<`) would be another file in the programs that we start.
        path = path.resolve()
    outputs = Outputs([], [], {})
    _add(outputs, path, output / path.name, suffix, codec)
    if not output.is_dir():
        for pairs in (outputs.pictures, outputs.videos):
            pairs[:] = [Pair(pair.path, output) for pair in pairs]
    return outputs


def _add(outputs: Outputs, path: Path, target: Path, suffix: str, codec: str) -> None:
    """Add a file with its output in a folder, whose suffix becomes one that can be written.

    Raises:
        UserError: it is neither a picture nor a video.
    """
    found = kind(path)
    if found not in (PICTURE, VIDEO):
        raise UserError(f"{path}: is neither a picture nor a video")
    if found == PICTURE:
        outputs.pictures.append(Pair(path, target.with_suffix(suffix)))
    elif _can_hold(target.suffix, codec):
        outputs.videos.append(Pair(path, target))
    else:
        old = f"{path.suffix} files" if path.suffix else "files without a suffix"
        note = f"becomes a {_USUAL} file, because {codec} is not written into {old}"
        outputs.videos.append(Pair(path, target.with_suffix(_USUAL), note))


def _can_hold(suffix: str, codec: str) -> bool:
    container = CONTAINERS.get(suffix.lower())
    if container is None:
        return False
    # Of the formats that we encode, ffmpeg puts only AV1 into WebM, and all but AV1 into QuickTime.
    if container.muxer in ("webm", "mov"):
        return (codec == "av1") == (container.muxer == "webm")
    return container.streams is None or codec in container.streams


def _check_targets(pairs: Sequence[Pair]) -> None:
    """Raise a UserError if two inputs would become one file, or a file would replace an input."""
    inputs = {each.path.resolve() for each in pairs}
    paths: dict[Path, Path] = {}
    clashes = []
    for path, target, _ in pairs:
        if target in paths:
            clashes.append(f"{paths[target]} and {path} would both become {target}")
        if target.resolve() in inputs:
            raise UserError(
                f"{target}: is an input, which is never overwritten; name another folder"
            )
        paths.setdefault(target, path)
    if clashes:
        more = f", and {len(clashes) - 1} more likewise" if len(clashes) > 1 else ""
        raise UserError(f"{clashes[0]}{more}; rename one of them")
    for target in paths:
        if file := next((each for each in target.parents if each in paths), None):
            both = f"{paths[file]} would become {file}"
            raise UserError(f"{both}, which is also the folder of {target}; rename one of them")
