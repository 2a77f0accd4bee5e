"""Proxy labels of frames by either codec, as `prepare` records them."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..base.constants import QP, QUALITY
from ..base.errors import UserError, as_result
from ..models.labels import PROXY, Labels
from ..video import h264, jpeg
from ..video.ffmpeg import binary
from ..video.frame_codecs import CODECS
from ..video.quality import metric, versions
from .contents import level_columns
from .jpeg_labels import find_jpeg_levels
from .proxy_labels import Level, find_levels_of_each


class Labelling(NamedTuple):
    """How frames are labelled."""

    codec: str  # QP or QUALITY
    thresholds: list[float]  # VMAF of JND1, JND2, JND3, falling
    whole: bool  # whether levels are whole QPs or qualities instead of interpolated ones

    def check_tools(self) -> None:
        """Check that ffmpeg has x264, if levels are QPs, and VMAF.

        Raises:
            UserError: it lacks one of them.
        """
        if self.codec == QP:
            binary("libx264")
        binary("libvmaf")

    def list_tools(self) -> dict[str, str]:
        """List the versions of what the levels depend on."""
        return versions() | ({"jpeg": jpeg.encoder()} if self.codec == QUALITY else {})

    def find(
        self, frames: Sequence[np.ndarray]
    ) -> Iterator[tuple[list[Level], list[np.ndarray]] | UserError]:
        """Yield for each of some frames of one size its levels and JND frames, or an error."""
        if self.codec == QUALITY:
            for frame in frames:
                levels = as_result(find_jpeg_levels, frame, self.thresholds, self.whole)
                failed = isinstance(levels, UserError)
                yield levels if failed else (levels, [jpeg.decode(each.stream) for each in levels])
            return
        found = find_levels_of_each(frames, self.thresholds, self.whole)
        each = [levels for levels in found if not isinstance(levels, UserError)]
        streams = [level.stream for level in itertools.chain(*each)]
        decoded = h264.frames(b"".join(streams), range(len(streams)))
        for levels in found:
            if isinstance(levels, UserError):
                yield levels
            else:
                yield levels, [*itertools.islice(decoded, len(levels))]

    def describe(self, levels: Sequence[Level]) -> dict[str, str]:
        """Make the manifest columns of a frame's levels."""
        scores = "/".join(f"{level.vmaf:.2f}" for level in levels)
        lowest, name = ("lowest", "QPs") if self.codec == QP else ("highest", "qualities")
        found = f"{lowest} {name} below; VMAF there"
        if not self.whole:
            found = f"{name} at the thresholds, interpolated; VMAF at the nearest whole {name}"
        labels = Labels(codec=self.codec, kind=PROXY, thresholds=tuple(self.thresholds))
        row = {
            **labels.to_fields(),
            "levels_from": f"{found} {scores}",
            "scores": scores,
            "metric": metric(),
        }
        numbers = [level.coded if self.whole else round(level.exact, 2) for level in levels]
        of_qp, of_quality = "frame encoded by x264 at QP {}", "frame as JPEG of quality {}"
        origin = (of_qp if self.codec == QP else of_quality).format
        return row | level_columns(numbers, self.codec, CODECS[self.codec].encoder(), origin)
