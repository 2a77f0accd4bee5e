"""The whole video, encoded as planned, joined, and measured."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.encoding.clips import Look, encode_scenes, join, vmaf_of_frames
from common.encoding.encoders import ENCODERS
from common.encoding.planning import Planned
from common.errors import UserError
from common.files import atomic_write


def deliver(
    path: Path, target: Path, planned: Sequence[Planned], name: str, look: Look, measure: bool
) -> tuple[int, list[float] | None]:
    """Encode the video at `path` with the encoder `name` as the file `target`, whole or not at all.

    Returns:
        Its bytes, and if asked to `measure` the mean VMAF of each scene.

    Raises:
        UserError: the video cannot be read, or `target` cannot hold what it holds.
    """
    scenes, qps = [each.scene for each in planned], [each.qp for each in planned]
    with _folder_beside(target) as folder, atomic_write(target, overwrite=True) as beside:
        try:
            with tqdm(total=scenes[-1].end, desc=name, unit="frame", disable=None) as bar:
                parts = encode_scenes(
                    path, scenes, qps, ENCODERS[name], look, folder,
                    lambda done: bar.update(done - bar.n),
                )  # fmt: skip
            join(path, parts, scenes, look.start, beside)
            vmaf = vmaf_of_frames(beside, path, scenes[-1].end) if measure else None
        except RuntimeError as error:
            raise UserError(f"{target}: could not be made ({error}); try .mkv") from None
        size = beside.stat().st_size
    if vmaf is None:
        return size, None
    return size, [float(np.mean(vmaf[scene.first : scene.end])) for scene in scenes]


def constant_of_equal_vmaf(
    path: Path, planned: Sequence[Planned], name: str, look: Look, vmaf: float
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
    with tempfile.TemporaryDirectory(prefix="laser-jnd-") as folder:
        while qp not in known:
            place = Path(folder, str(qp))
            place.mkdir()
            (coded,) = encode_scenes(path, whole, [qp], ENCODERS[name], look, place, lambda _: None)
            known[qp] = float(np.mean(vmaf_of_frames(coded, path, frames))), coded.stat().st_size
            qp = min(max(qp + (1 if known[qp][0] > vmaf else -1), 1), coarsest)
    qps = sorted(known)
    scores = np.maximum.accumulate([known[qp][0] for qp in qps[::-1]])
    sizes = np.log([known[qp][1] for qp in qps[::-1]])
    at = np.interp(vmaf, scores, qps[::-1])
    return float(at), float(np.exp(np.interp(vmaf, scores, sizes)))


def _length(planned: Planned) -> int:
    return planned.scene.end - planned.scene.first


@contextlib.contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target`; those that killed processes left there go."""
    target.parent.mkdir(parents=True, exist_ok=True)
    name = f".{target.stem}.scenes-"
    for left in target.parent.glob(f"{name}*"):
        with contextlib.suppress(OSError), (left / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)
    beside = tempfile.TemporaryDirectory(prefix=name, dir=target.parent)
    with beside as folder, Path(folder, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(folder)
