"""The whole video, encoded as planned, joined, and measured."""

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..base.errors import UserError
from ..base.files import atomic_write
from ..base.progress import Progress
from ..base.temporary import temporary_folder
from ..video.quality import score_video
from .clips import encode_scenes
from .containers import find_container, join
from .encoders import ENCODERS
from .planning import FAR_BELOW, Planned
from .raw import RawVideo

_LEAST_FREE = 2**20  # bytes; on a full disk ffmpeg only reports that something is invalid


def deliver(
    raw: RawVideo,
    target: Path,
    planned: Sequence[Planned],
    name: str,
    measure: bool,
    overwrite: bool = False,
) -> tuple[int, list[float] | None]:
    """Encode a video with the encoder `name` into the file `target`, completely or not at all.

    Returns:
        Its size in bytes and, if `measure`, the mean VMAF of each scene.

    Raises:
        UserError: the video cannot be read, `target` cannot hold its streams or already exists, or
            the VMAF of a scene is far below what was planned.
    """
    scenes, qps = [each.scene for each in planned], [each.qp for each in planned]
    container, vmaf = find_container(target), None
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_folder(target.absolute().parent))
        beside = stack.enter_context(atomic_write(target, overwrite=overwrite))
        try:
            with Progress(desc=name, total=scenes[-1].end, unit="frame") as bar:
                parts = encode_scenes(raw, scenes, qps, ENCODERS[name], folder, bar.update)
            join(raw, parts, scenes, beside, container)
            if measure:
                of_frames = score_video(beside, raw.video.path, scenes[-1].end, raw.graph)
                vmaf = [float(np.mean(of_frames[each.first : each.end])) for each in scenes]
                _check_promise(target, planned, vmaf)
        except RuntimeError as error:
            full = shutil.disk_usage(folder).free < _LEAST_FREE
            why = "No space left on device" if full else f"could not be made ({error})"
            raise UserError(f"{target}: {why}") from None
        size = beside.stat().st_size
    return size, vmaf


def _check_promise(target: Path, planned: Sequence[Planned], vmaf: Sequence[float]) -> None:
    """Check the measured VMAF of each scene.

    Raises:
        UserError: a scene is far below the VMAF that it was planned for.
    """
    for each, measured in zip(planned, vmaf):
        if each.promised is not None and measured < each.promised - FAR_BELOW:
            raise UserError(
                f"{target}: not written: the scene from {each.scene.start_seconds:.1f} s on has "
                f"VMAF {measured:.1f} where {each.promised:.1f} was promised, so its pictures are "
                "not those of the input; --no_verify writes it anyway"
            )
