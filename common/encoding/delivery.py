"""The whole video, encoded as planned, joined, and measured."""

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..base.errors import UserError
from ..base.files import atomic_write
from ..base.temporary import temporary_folder
from .clips import encode_scenes, vmaf_of_frames
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
            with tqdm(total=scenes[-1].end, desc=name, unit="frame", disable=None) as bar:
                parts = encode_scenes(
                    raw, scenes, qps, ENCODERS[name], folder,
                    lambda done: bar.update(done - bar.n),
                )  # fmt: skip
            join(raw, parts, scenes, beside, container)
            if measure:
                of_frames = vmaf_of_frames(beside, raw.video.path, scenes[-1].end, raw)
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


def constant_of_equal_vmaf(
    raw: RawVideo, planned: Sequence[Planned], name: str, vmaf: float
) -> tuple[float, float]:
    """The one constant QP whose mean VMAF over the video is `vmaf`, and the bytes of its pictures.

    Between two QPs that are one apart, both go by a line, bytes by their logarithm.

    Raises:
        UserError: the video cannot be read or encoded.
    """
    whole = [planned[0].scene._replace(end=planned[-1].scene.end)]
    frames, coarsest = whole[0].end, ENCODERS[name].coarsest
    known: dict[int, tuple[float, int]] = {}
    qp = round(float(np.average([e.qp for e in planned], weights=[_length(e) for e in planned])))
    with temporary_folder() as folder:
        while qp not in known:
            place = folder / str(qp)
            place.mkdir()
            (coded,) = encode_scenes(raw, whole, [qp], ENCODERS[name], place, lambda _: None)
            of_frames = vmaf_of_frames(coded, raw.video.path, frames, raw)
            known[qp] = float(np.mean(of_frames)), coded.stat().st_size
            qp = min(max(qp + (1 if known[qp][0] > vmaf else -1), 1), coarsest)
    qps = sorted(known)
    scores = np.maximum.accumulate([known[qp][0] for qp in qps[::-1]])
    sizes = np.log([known[qp][1] for qp in qps[::-1]])
    at = np.interp(vmaf, scores, qps[::-1])
    return float(at), float(np.exp(np.interp(vmaf, scores, sizes)))


def _length(planned: Planned) -> int:
    return planned.scene.end - planned.scene.first
