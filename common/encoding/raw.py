"""Conversion of a video to raw frames of one size, format and colour for an encoder."""

from itertools import pairwise
from typing import NamedTuple

from ..base.errors import UserError
from ..video.frames import colour_tags, planar_bytes
from ..video.h264 import SCALER
from ..video.pixel_formats import UNTAG, UNTAG_ALL, PixelFormat, choose_coded, describe
from ..video.probe import FrameFormat, Video
from .encoders import ENCODERS, Mastering, find_mastering

# 4:2:0 has one chroma sample per 2x2 pixels, so an odd last row or column is cropped. Of 4:1:1 and
# 4:1:0, ffmpeg would crop more if it were not told to be exact.
EVEN = "crop=trunc(iw/2)*2:trunc(ih/2)*2:exact=1"
# Frames are tagged as limited range at first, so that no filter converts them; see `RawVideo.tags`.
_CALLED_LIMITED = "setparams=range=tv"
# Keeps the values of full-range frames of 8 bits, which ffmpeg would convert to limited range.
_FULL = "scale=in_range=pc:out_range=pc"
_MATRIX = "bt709"  # for the conversion of RGB
_DOLBY_VISION, _DYNAMIC = ("DOVI", "Dolby Vision"), "SMPTE2094"


class RawVideo(NamedTuple):
    """A video as an encoder receives it."""

    video: Video
    graph: str  # ffmpeg's filters that make the raw frames
    pixel_format: PixelFormat
    width: int
    height: int
    tags: str  # ffmpeg's filter that sets the true colour tags
    mastering: Mastering | None
    notes: list[str]  # on what is changed or lost

    @property
    def measuring_graphs(self) -> tuple[str, str]:
        """ffmpeg's filters that make comparable frames of the encoded video and of the input."""
        converted = self.pixel_format.depth == 8 and "range=pc" in self.tags
        return _FULL if converted else "null", self.graph

    @property
    def frame_bytes(self) -> int:
        """Size of one frame in bytes."""
        return planar_bytes(self.pixel_format.name, self.width, self.height)


def choose_raw(video: Video, encoder: str) -> RawVideo:
    """Choose how to convert the frames of a video for an encoder, a key of `ENCODERS`.

    Raises:
        UserError: it is interlaced, has Dolby Vision, or changes its size, format or colours.
    """
    _refuse(video)
    frame_format, notes = _merge(video), []
    has = describe(frame_format.pixel_format)
    coded = choose_coded(frame_format.pixel_format, ENCODERS[encoder].library)
    if has.rgb:
        # The scaler converts the colours, so the range really is limited.
        convert = f"scale=out_color_matrix={_MATRIX}:out_range=tv:flags={SCALER}"
        graph = f"{UNTAG},{EVEN},{convert},format={coded.name},{_CALLED_LIMITED}"
        transfer, primaries = frame_format.transfer or _MATRIX, frame_format.primaries or _MATRIX
        frame_format = frame_format._replace(
            range="tv", space=_MATRIX, primaries=primaries, transfer=transfer
        )
        notes.append(f"RGB is encoded as {coded.name}, {_MATRIX.upper()}")
    else:
        old = frame_format.pixel_format.startswith("yuvj")
        keeps = f"{_FULL}," if old or has.chroma == "gray" else ""
        graph = f"{UNTAG_ALL},{keeps}format={coded.name},{_CALLED_LIMITED},{EVEN}"
        if not keeps:
            graph = f"{UNTAG_ALL}:range=tv,{EVEN},format={coded.name}"
        if coded.depth < has.depth:
            notes.append(f"{has.depth} bits become {coded.depth}, which {encoder} supports")
        if coded.chroma != has.chroma:
            notes.append(
                f"{frame_format.pixel_format} becomes {coded.name}, which {encoder} supports"
            )
    if has.alpha:
        notes.append("transparency (alpha), if any, is left out: no encoder here supports it")
    if any(_DYNAMIC in each for each in video.side_data):
        notes.append("dynamic metadata (HDR10+) is left out; static metadata is kept")
    sides = frame_format.width // 2 * 2, frame_format.height // 2 * 2
    mastering = find_mastering(video.side_data)
    return RawVideo(video, graph, coded, *sides, colour_tags(frame_format), mastering, notes)


def _refuse(video: Video) -> None:
    if video.interlaced is not None:
        at = f" from {video.times[video.interlaced]:.1f} s on" if video.interlaced else ""
        raise UserError(
            f"{video.path}: is interlaced{at}; make it progressive first: "
            "ffmpeg -i INPUT -vf bwdif OUTPUT"
        )
    of_frames = pairwise(video.times[: video.frames])
    stop = next((before for before, after in of_frames if after <= before), None)
    if stop is not None:
        raise UserError(
            f"{video.path}: its timestamps stand still or jump back after {stop:.1f} s; "
            "ffmpeg -i INPUT -vf setpts=N/FRAME_RATE/TB OUTPUT regenerates them"
        )
    if min(video.format.width, video.format.height) < 2:
        raise UserError(f"{video.path}: too small to encode ({video.format.width} pixels wide)")
    if any(name in each for each in video.side_data for name in _DOLBY_VISION):
        raise UserError(
            f"{video.path}: has Dolby Vision metadata, which would not match the encoded video; "
            "ffmpeg -i INPUT -map 0 -c copy -bsf:v dovi_rpu=strip=1 OUTPUT removes it"
        )


def _merge(video: Video) -> FrameFormat:
    """Merge the formats of all frames, of which some may lack tags that others have.

    Raises:
        UserError: the frames differ in size, format or colours.
    """
    merged = video.format
    for first, other in video.formats[1:]:
        at = f"{video.times[first]:.1f} s"
        for what, old, new, remedy in (
            ("size", f"{merged.width}x{merged.height}", f"{other.width}x{other.height}",
             f"scale={merged.width}:{merged.height}"),
            ("pixel format", merged.pixel_format, other.pixel_format,
             f"format={merged.pixel_format}"),
            ("pixels' aspect", merged.aspect, other.aspect,
             f"scale={merged.width}:{merged.height},setsar={merged.aspect}"),
        ):  # fmt: skip
            if old != new:
                raise UserError(
                    f"{video.path}: changes its {what} from {old} to {new} at {at}; convert it "
                    f"first: ffmpeg -i INPUT -vf {remedy} OUTPUT"
                )
        for name in ("range", "space", "primaries", "transfer", "chroma"):
            old, new = getattr(merged, name), getattr(other, name)
            if old and new and old != new:
                raise UserError(
                    f"{video.path}: changes its colours from {old} to {new} ({name}) at {at}; "
                    "encode the two parts separately"
                )
            merged = merged._replace(**{name: old or new})
    return merged
