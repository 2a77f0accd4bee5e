"""Encoding of a video by its plan: scenes are encoded, joined and measured."""

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
from .planning import FAR_BELOW, ScenePlan
from .raw import RawVideo

_LEAST_FREE = 2**20  # bytes; ffmpeg's errors do not say that the disk is full


def deliver(
    raw: RawVideo,
    target: Path,
    plans: Sequence[ScenePlan],
    encoder: str,
    measure: bool,
    overwrite: bool = False,
) -> tuple[int, list[float] | None]:
    """Encode a video into the file `target`, completely or not at all.

    Args:
        encoder: a key of `ENCODERS`.

    Returns:
        The size in bytes and, if `measure`, the mean VMAF of each scene.

    Raises:
        UserError: the video cannot be read, `target` already exists or does not support its
            streams, or the VMAF of a scene is far below the promised one.
    """
    scenes, qps = [each.scene for each in plans], [each.qp for each in plans]
    container = find_container(target)
    vmaf: list[float] | None = None
    with (
        temporary_folder(target.absolute().parent) as folder,
        atomic_write(target, overwrite=overwrite) as unfinished,
    ):
        try:
            with Progress(desc=encoder, total=scenes[-1].end, unit="frame") as bar:
                parts = encode_scenes(raw, scenes, qps, ENCODERS[encoder], folder, bar.update)
            join(raw, parts, scenes, unfinished, container)
            if measure:
                of_frames = score_video(unfinished, raw.video.path, scenes[-1].end, raw.graph)
                vmaf = [float(np.mean(of_frames[each.first : each.end])) for each in scenes]
                _check_promise(target, plans, vmaf)
        except RuntimeError as error:
            full = shutil.disk_usage(folder).free < _LEAST_FREE
            why = "No space left on device" if full else f"could not be made ({error})"
            raise UserError(f"{target}: {why}") from None
        size = unfinished.stat().st_size
    return size, vmaf


def _check_promise(target: Path, plans: Sequence[ScenePlan], vmaf: Sequence[float]) -> None:
    """Check the measured VMAF of each scene.

    Raises:
        UserError: it is far below the promised VMAF.
    """
    for each, measured in zip(plans, vmaf):
        if each.promised_vmaf is not None and measured < each.promised_vmaf - FAR_BELOW:
            raise UserError(
                f"{target}: not written: the scene from {each.scene.start_seconds:.1f} s on has "
                f"VMAF {measured:.1f} where {each.promised_vmaf:.1f} was promised, so its frames "
                "do not match the input; --no_verify writes it anyway"
            )
