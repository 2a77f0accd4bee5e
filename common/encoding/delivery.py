"""Encoding of a video by its plan: scenes are encoded, joined and measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.errors import UserError
from ..base.files import atomic_write
from ..base.progress import Progress
from ..base.temporary import temporary_folder
from ..video.quality import score_video
from ..video.scenes import Scene
from .clips import encode_scenes, packet_bytes, report_failure
from .containers import Container, find_container, join
from .encoders import CRF, Coding
from .planning import FAR_BELOW, ScenePlan
from .raw import RawVideo
from .scores import Measure, Score

_MOST_REVISIONS = 3


class Delivery(NamedTuple):
    """A video that was encoded."""

    plans: list[ScenePlan]  # as they were carried out
    bytes: int  # of the file
    scene_bytes: list[int]  # of the video stream
    vmaf: list[Score] | None  # of each scene; None: not measured


class _Job(NamedTuple):
    """What stays the same while the scenes of a video are encoded and measured."""

    raw: RawVideo
    scenes: list[Scene]
    coding: Coding
    measure: Measure | None
    folder: Path
    unfinished: Path
    container: Container

    def encode(self, plans: dict[int, ScenePlan]) -> list[int]:
        """Encode the scenes with these numbers, and join all; return their sizes in bytes."""
        quantizers = [plans[n].quantizer if n in plans else None for n in range(len(self.scenes))]
        frames = sum(each.scene.frames for each in plans.values())
        with Progress(desc=self.coding.encoder.codec, total=frames, unit="frame") as bar:
            given = self.raw, self.scenes, quantizers, self.coding
            parts = encode_scenes(*given, self.folder, bar.update)
        joined = self.raw, parts, self.scenes, self.unfinished
        join(*joined, self.container, self.coding.encoder.codec)
        return [sum(packet_bytes(parts[number])) for number in plans]

    def score(self, plans: dict[int, ScenePlan], measure: Measure) -> list[Score]:
        """Measure the VMAF of the scenes with these numbers in the joined video."""
        whole = len(plans) == len(self.scenes)
        numbers = [range(each.scene.first, each.scene.end) for each in plans.values()]
        given = (
            sum(map(len, numbers)),
            self.raw.measuring_graphs,
            measure.metric,
            () if whole else numbers,
        )
        scores = score_video(self.unfinished, self.raw.video.path, *given)
        ends = np.cumsum([*map(len, numbers)])
        return [measure.summarise(each) for each in np.split(scores, ends[:-1])]

    def carry_out(
        self, plans: Sequence[ScenePlan]
    ) -> tuple[list[ScenePlan], list[int], list[Score] | None]:
        """Encode all scenes; with a CRF, encode those that miss their promise again.

        Returns:
            The plans as they were carried out; the bytes and, if measured, VMAF of each scene.
        """
        done = dict(enumerate(plans))
        sizes = dict(zip(done, self.encode(done)))
        if not self.measure:
            return [*done.values()], [*sizes.values()], None
        vmaf = dict(zip(done, self.score(done, self.measure)))
        for _ in range(_MOST_REVISIONS if self.coding.rate_control == CRF else 0):
            revisions = (
                (number, plan.revise(vmaf[number], sizes[number], self.coding))
                for number, plan in done.items()
            )
            revised = {number: plan for number, plan in revisions if plan}
            if not revised:
                break
            done |= revised
            sizes |= zip(revised, self.encode(revised))
            vmaf |= zip(revised, self.score(revised, self.measure))
        return [*done.values()], [*sizes.values()], [*vmaf.values()]


def deliver(
    raw: RawVideo,
    target: Path,
    plans: Sequence[ScenePlan],
    coding: Coding,
    measure: Measure | None,
    overwrite: bool = False,
) -> Delivery:
    """Encode a video into the file `target`, completely or not at all.

    Args:
        measure: how to measure the video, to encode scenes that miss their promise again if they
            have a CRF; None: not at all.

    Raises:
        UserError: the video cannot be read, `target` already exists or does not support its
            streams, or the VMAF of a scene is far below the promised one.
    """
    container, scenes = find_container(target), [each.scene for each in plans]
    with (
        temporary_folder(target.absolute().parent) as folder,
        atomic_write(target, overwrite=overwrite) as unfinished,
    ):
        job = _Job(raw, scenes, coding, measure, folder, unfinished, container)
        with report_failure(target, folder):
            done, sizes, vmaf = job.carry_out(plans)
        _check_promise(target, done, vmaf or [])
        size = unfinished.stat().st_size
    return Delivery(done, size, sizes, vmaf)


def _check_promise(target: Path, plans: Sequence[ScenePlan], vmaf: Sequence[Score]) -> None:
    """Check the measured VMAF of each scene.

    Raises:
        UserError: it is far below the promised VMAF.
    """
    for each, (measured, *_) in zip(plans, vmaf):
        if each.promised_vmaf is not None and measured < each.promised_vmaf - FAR_BELOW:
            raise UserError(
                f"{target}: not written: the scene from {each.scene.start_seconds:.1f} s on has "
                f"VMAF {measured:.1f} where {each.promised_vmaf:.1f} was promised, so its frames "
                "do not match the input; --no_verify writes it anyway"
            )
