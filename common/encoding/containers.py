"""Output containers: a check, before any work, that they support all streams; and muxing.

The video stream is replaced and all others are copied; text subtitles are converted to the
container's own format if it does not support theirs.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.errors import UserError
from ..base.temporary import temporary_folder
from ..video.ffmpeg import FFmpegError, input_arguments, run
from ..video.probe import Stream, Video
from ..video.scenes import Scene
from .encoders import Coding
from .raw import RawVideo

_TRIAL_SECONDS = 0.2
_REORDERED = 17  # greatest distance in frames of reordering by encoders
_TEXT = {"mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text", "ttml"}
_PICTURES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
# Tags by mkvmerge and others that describe the replaced stream, perhaps with a language suffix.
_STATISTICS = re.compile(
    r"(BPS|DURATION|NUMBER_OF_FRAMES|NUMBER_OF_BYTES|SOURCE_ID|ENCODER|_STATISTICS_\w+)(-\w+)?",
    re.IGNORECASE,
)

# ffmpeg's text form of metadata: sections, and lines of name=value, in which a backslash escapes
# the next character, also a line's end.
_SECTIONS = re.compile(r"(?<!\\)\n(?=\[)")
_METADATA = re.compile(r"^((?:\\.|[^\\=\n])+)=((?:\\.|[^\\\n])*)", re.MULTILINE | re.DOTALL)
_PHONES = re.compile(r"com\.(apple\.quicktime|android)\.")


class Container(NamedTuple):
    """A container format, and the streams that it supports."""

    muxer: str  # ffmpeg's name of the format
    text: str  # ffmpeg's codec for text subtitles; empty: none are supported
    keeps: frozenset[str]  # text subtitle codecs that are copied unchanged
    covers: str  # where cover pictures are stored: "stream" or "attachment"; empty: nowhere
    streams: frozenset[str] | None = None  # codecs allowed, if the muxer itself accepts any


_MP4 = Container("mp4", "mov_text", frozenset({"mov_text"}), "stream")
_MPEG_TS = Container(
    "mpegts", "", frozenset(), "",
    frozenset({"aac", "mp2", "mp3", "ac3", "eac3", "opus", "dts", "truehd", "h264", "hevc",
               "mpeg2video", "dvb_subtitle", "dvb_teletext"}),
)  # fmt: skip
CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": _MP4._replace(muxer="mov", covers=""),
    ".mkv": Container(
        "matroska", "srt", frozenset({"subrip", "ass", "ssa", "webvtt", "text"}), "attachment"
    ),
    ".webm": Container("webm", "webvtt", frozenset({"webvtt"}), ""),
    ".ts": _MPEG_TS,
}


def find_container(target: Path) -> Container:
    """Look up the container named by the suffix of `target`.

    Raises:
        UserError: the suffix names no container.
    """
    container = CONTAINERS.get(target.suffix.lower())
    if container is None:
        kinds = ", ".join(CONTAINERS)
        raise UserError(f"{target}: its suffix names no container for videos; use one of {kinds}")
    return container


def check_container(raw: RawVideo, target: Path, coding: Coding) -> list[str]:
    """Check by a trial that `target` supports all streams of the video.

    Returns:
        Notes on the streams that will be changed or left out.

    Raises:
        UserError: it does not support one of them; the message names containers that do.
    """
    container = find_container(target)
    with temporary_folder() as folder:
        part = folder / "trial.nut"
        # Encode a short stream of the same size and format to get its headers.
        frame = f"color=s={raw.width}x{raw.height}:r=25:d={_TRIAL_SECONDS}"
        tagged = f"format={raw.pixel_format.name},{raw.tags}"
        words: list[object] = ["-f", "lavfi", "-i", frame, "-vf", tagged]
        words += coding.arguments(30, raw.pixel_format.depth, raw.mastering)
        try:
            run([*words, "-f", "nut", f"file:{part}"])
        except FFmpegError as error:
            how = f"with preset {coding.preset}" if coding.preset else "pixels"
            used = f"{coding.encoder.library} cannot encode {raw.width}x{raw.height}"
            message = f"{used} {how} ({error})"
            raise UserError(f"{raw.video.path}: {message}") from None
        wrong = _try(raw, part, folder, container, coding)
        if not wrong:
            return _describe_changes(raw.video, container)
        others = {each.muxer: suffix for suffix, each in reversed(CONTAINERS.items())}
        fit = [suffix for suffix in reversed(others.values())
               if not _try(raw, part, folder, CONTAINERS[suffix], coding)]  # fmt: skip
    remedy = f"{' or '.join(fit)} can" if fit else "remove unsupported streams (ffmpeg -map)"
    raise UserError(f"{target}: cannot hold all streams of {raw.video.path} ({wrong}); {remedy}")


def _try(raw: RawVideo, part: Path, folder: Path, container: Container, coding: Coding) -> str:
    """Try muxing into a container; return why it fails, or "" if it works."""
    scene = Scene(0, 5, 0, _TRIAL_SECONDS)
    codecs = [each.codec for each in _other_streams(raw.video, container)]
    if container.streams is not None:
        codecs.append(coding.encoder.codec)
        if foreign := [codec for codec in codecs if codec not in container.streams]:
            return f"{container.muxer} does not support {foreign[0]}"
    try:
        limit = ["-t", _TRIAL_SECONDS]
        join(raw, [part], [scene], folder / "trial.out", container, coding.encoder.codec, limit)
    except FFmpegError as error:
        return str(error)
    return ""


def _describe_changes(video: Video, container: Container) -> list[str]:
    """Make notes on the streams that a container changes or leaves out."""
    notes = []
    for stream in video.streams:
        if _needs_conversion(stream, container):
            notes.append(f"{stream.codec} subtitles become {container.text}")
        elif stream.cover and not container.covers:
            notes.append("the cover picture is left out: this container supports none")
        elif stream.kind == "Data" and not _is_made_anew(stream, video, container):
            notes.append(f"a data stream ({stream.codec}) is left out")
    if container.muxer == "mpegts" and video.chapters:
        notes.append("chapters are left out: this container supports none")
    return list(dict.fromkeys(notes))


def _is_made_anew(stream: Stream, video: Video, container: Container) -> bool:
    """Check whether ffmpeg makes a data stream from metadata: chapters, or QuickTime's timecode."""
    if stream.codec == "timecode":
        return container.muxer in ("mp4", "mov")
    return video.chapters and stream.codec == "bin_data"


def _needs_conversion(stream: Stream, container: Container) -> bool:
    is_text = stream.kind == "Subtitle" and stream.codec in _TEXT
    return is_text and bool(container.text) and stream.codec not in container.keeps


def join(
    raw: RawVideo,
    parts: Sequence[Path],
    scenes: Sequence[Scene],
    target: Path,
    container: Container,
    codec: str,
    limit: Sequence[object] = (),
) -> None:
    """Mux the concatenated `parts`, at the times of the `scenes`, with the video's other streams.

    Args:
        codec: ffmpeg's name of the parts' format.
        limit: ffmpeg's arguments to read only a part of the file.

    Raises:
        FFmpegError: the container does not support one of the other streams.
    """
    video = raw.video
    lines = ["ffconcat version 1.0"]
    for part, scene in zip(parts, scenes):
        lines += [f"file {part.name}", f"duration {scene.end_seconds - scene.start_seconds:.9f}"]
    listed = parts[0].with_name("parts.txt")
    listed.write_text("\n".join(lines))
    words: list[object] = ["-itsoffset", video.start, "-f", "concat", "-i", f"file:{listed}"]
    words += [*limit, *input_arguments(video.path), "-map", "0:v:0"]
    own, others = _video_stream(video), _other_streams(video, container)
    attached = [each for each in video.streams if each.cover and container.covers == "attachment"]
    for stream in others:
        words += ["-map", f"1:{stream.number}"]
    words += ["-map_metadata", 1, "-map_chapters", 1, "-c", "copy"]
    for index, stream in enumerate([own, *others]):
        words += [f"-map_metadata:s:{index}", f"1:s:{stream.number}"]
        if _needs_conversion(stream, container):
            words += [f"-c:{index}", container.text]
    words += _correct_metadata(video, own, container)
    if codec == "hevc" and container.muxer in ("mp4", "mov"):
        words += ["-tag:v:0", "hvc1"]  # Apple's players take no other
    words += ["-disposition:0", "+".join(own.dispositions) or 0]
    words += _attach(video, attached, others, listed.parent)
    words += _extend_last(video, scenes[-1], container)
    words += ["-copy_unknown", *limit, "-f", container.muxer, f"file:{target}"]
    # In some formats time begins with the first stream in use, so the old video is mapped, too.
    words += ["-map", f"1:{own.number}", "-c", "copy", *limit, "-f", "null", "-"]
    run(words)


def _video_stream(video: Video) -> Stream:
    """Return the video stream, which is replaced."""
    return next(each for each in video.streams if each.is_video)


def _other_streams(video: Video, container: Container) -> list[Stream]:
    """List the other streams, which are copied into the container as streams."""
    return [
        each for each in video.streams
        if each != _video_stream(video) and each.kind != "Data"
        and (not each.cover or container.covers == "stream")
    ]  # fmt: skip


def _extend_last(video: Video, last: Scene, container: Container) -> list[object]:
    """Make ffmpeg's arguments that keep the duration of a last frame, if it is a long one.

    An MP4 track ends with the last sample in decoding order, which may be shown before the last
    frame; so this sample is extended to the end.
    """
    intervals = np.diff(video.times)
    usual = float(np.median(intervals))
    if last.end != video.frames or intervals[-_REORDERED:].max() < 2 * usual:
        return []
    end, stays = video.start + video.times[-1], intervals[-1]
    if container.muxer in ("mp4", "mov"):
        delay = "(STARTPTS-STARTDTS)"  # an edit list subtracts it again
        duration = f"if(eq(N,{video.frames - 1}),{end:.9f}/TB-DTS-{delay},DURATION)"
    else:
        duration = f"if(gte(PTS*TB,{end - stays - 1e-4:.9f}),{stays:.9f}/TB,DURATION)"
    return ["-bsf:v:0", f"setts=pts=PTS:dts=DTS:duration='{duration}'"]


def _correct_metadata(video: Video, own: Stream, container: Container) -> list[object]:
    """Make ffmpeg's arguments that keep all of the file's metadata, and drop those of old data."""
    of_file, of_stream = _read_metadata(video, own)
    words: list[object] = []
    for name in filter(_STATISTICS.fullmatch, of_stream):
        words += ["-metadata:s:0", f"{name}="]
    # Phones' metadata takes a form that excludes covers.
    covered = container.covers and any(each.cover for each in video.streams)
    if container.muxer in ("mp4", "mov") and not covered and any(map(_PHONES.match, of_file)):
        words += ["-movflags", "use_metadata_tags"]
        # ffmpeg would write these twice, and joins what it reads twice by a semicolon.
        created = of_file.get("creation_time", "").partition(r"\;")[0]
        for name in ("major_brand", "minor_version", "compatible_brands"):
            words += ["-metadata", f"{name}="]
        words += ["-metadata", f"creation_time={created}"] if created else []
    return words


def _read_metadata(video: Video, stream: Stream) -> tuple[dict[str, str], dict[str, str]]:
    """Read the metadata of a video and of one of its streams, by name; values stay escaped."""
    words = [*input_arguments(video.path), "-map", f"0:{stream.number}", "-c", "copy", "-t", 0]
    words += ["-map_metadata", 0]  # or the creation time would be left out
    try:
        text = run([*words, "-f", "ffmetadata", "-"]).decode(errors="replace")
    except FFmpegError:
        return {}, {}
    of_file, *others = _SECTIONS.split(text)
    of_stream = next((each for each in others if each.startswith("[STREAM]")), "")
    return dict(_METADATA.findall(of_file)), dict(_METADATA.findall(of_stream))


def _attach(
    video: Video, covers: Sequence[Stream], others: Sequence[Stream], folder: Path
) -> list[object]:
    """Write cover pictures to `folder`; return ffmpeg's arguments that attach them."""
    words: list[object] = []
    first = sum(each.kind == "Attachment" for each in others)
    for number, stream in enumerate(covers, first):
        name, mime = _PICTURES.get(stream.codec, (f"cover.{stream.codec}", f"image/{stream.codec}"))
        copy = ["-map", f"0:{stream.number}", "-c", "copy", "-frames:v", 1, "-f", "image2pipe", "-"]
        picture = folder / f"{number}{Path(name).suffix}"
        picture.write_bytes(run([*input_arguments(video.path), *copy]))
        words += ["-attach", picture, f"-metadata:s:t:{number}", f"filename={name}"]
        words += [f"-metadata:s:t:{number}", f"mimetype={mime}"]
    return words
