"""Bits and CPU seconds of whole encodes: this project's, and what else users do.

The rivals have the same encoder and options. Two are told the mean VMAF that this project reached,
so that their bits compare with its bits; the third searches for the VMAF that it was to reach. The
seconds of deciding are all but those of one whole encode at one CRF and its measurement.
"""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from common.base.progress import Progress
from common.base.temporary import temporary_folder
from common.encoding.clips import encode_clip, packet_bytes
from common.encoding.encode import EncodeOptions, encode_video
from common.encoding.encoders import CONSTANT_QP, CRF, ENCODERS, Coding
from common.encoding.raw import RawVideo, choose_raw
from common.encoding.windows import write_windows
from common.inference.predictor import Predictor
from common.models.labels import THRESHOLDS
from common.video.probe import probe
from common.video.quality import score_video
from common.video.scenes import Scene, find_scenes
from tools.samples import cut_clips, make_clips

_FINEST, _COARSEST = 10, 46  # where a search begins, as ab-av1's
_SAMPLE_SECONDS, _SECONDS_PER_SAMPLE = 20, 720  # ab-av1's
_UNIT = "one constant QP"  # the way in whose size `bits` are given
_ABOVE = 0.3  # VMAF above the target at which a search by samples ends


class Encode(NamedTuple):
    """A video encoded at one CRF or QP."""

    quantizer: float
    bytes: float
    vmaf: float  # mean
    worst: float  # mean VMAF of the worst scene


def measure_deliveries(
    predictor: Predictor,
    pictures: Sequence[Path],
    count: int,
    videos: Path | None,
    height: int,
    seconds: int,
) -> pd.DataFrame:
    """Compare deliveries of up to `count` pans over pictures and of the videos in a folder."""
    with temporary_folder() as folder:
        clips = [*make_clips(pictures, folder, count, height, seconds)]
        clips += [] if videos is None else cut_clips(videos, folder, height * 16 // 9)
        rows = []
        for clip in Progress(clips, "clips", unit="clip"):
            rows += compare_deliveries(predictor, clip)
            # This takes minutes, so what is known so far is of interest.
            print(pd.DataFrame(rows[-4:]).to_string(index=False, header=False), flush=True)
    return pd.concat([pd.DataFrame(rows), summarize(rows)], ignore_index=True)


def summarize(rows: Sequence[dict]) -> pd.DataFrame:
    """Summarize all clips by way; their relative bits by the geometric mean."""
    by_way = pd.DataFrame(rows).groupby("way", sort=False)
    whole = by_way.agg(
        {"kB": "sum", "VMAF": "mean", "worst": "min", "seconds": "sum", "deciding": "sum"}
    )
    whole["bits"] = by_way["bits"].apply(lambda ratios: np.exp(np.log(ratios).mean()))
    return whole.reset_index().assign(clip="all")


def compare_deliveries(predictor: Predictor, clip: Path) -> list[dict]:
    """Encode a clip in four ways; return a row each, with bits relative to one constant QP."""
    raw = choose_raw(probe(clip), "x264")
    scenes = find_scenes(raw.video)
    with temporary_folder() as folder:
        before = _cpu_seconds()
        done = encode_video(clip, folder / "ours.mkv", predictor, EncodeOptions())
        ours = Encode(
            0,
            sum(done.scene_bytes or []),
            done.vmaf or 0,
            min(each.mean for each in done.scene_vmaf or []),
        )
        used = "/".join(f"{each.quantizer:g}" for each in done.scenes)
        rows = [_make_row(clip, "each scene at a CRF of its own", used, ours, before)]
        rows[0]["trials"] = "/".join(str(len(each.trials)) for each in done.scenes)
        for way, control in ((_UNIT, CONSTANT_QP), ("one CRF, by bisection", CRF)):
            before = _cpu_seconds()
            coding = Coding(ENCODERS["x264"], control)
            found = bisect(raw, scenes, coding, ours.vmaf, folder)
            rows.append(_make_row(clip, way, f"{found.quantizer:.1f}", found, before))
        before, coding = _cpu_seconds(), Coding(ENCODERS["x264"])
        crf = search_by_samples(raw, coding, THRESHOLDS[0], folder)
        decided = _cpu_seconds()
        found = encode_whole(raw, scenes, coding, crf, folder)
        rows.append(_make_row(clip, "one CRF, by samples", f"{crf:g}", found, before))
        bare = _cpu_seconds() - decided
    size = next(row["kB"] for row in rows if row["way"] == _UNIT)
    return [{**row, "bits": row["kB"] / size, "deciding": row["seconds"] - bare} for row in rows]


def _make_row(clip: Path, way: str, used: str, encode: Encode, before: float) -> dict:
    return {
        "clip": clip.stem,
        "way": way,
        "CRF or QP": used,
        "kB": encode.bytes / 1e3,
        "VMAF": encode.vmaf,
        "worst": encode.worst,
        "seconds": _cpu_seconds() - before,
    }


def _cpu_seconds() -> float:
    """CPU seconds of this process and of those that it started and that have ended."""
    return sum(os.times()[:4])


def encode_whole(
    raw: RawVideo, scenes: Sequence[Scene], coding: Coding, quantizer: float, folder: Path
) -> Encode:
    """Encode a whole video at one CRF or QP, and measure it."""
    coded = folder / "whole.nut"
    encode_clip(raw.video.path, coded, coding, quantizer, raw, f"{raw.graph},{raw.tags}")
    frames = raw.video.frames
    scores = score_video(coded, raw.video.path, frames, raw.measuring_graphs)
    worst = min(float(np.mean(scores[each.first : each.end])) for each in scenes)
    return Encode(quantizer, sum(packet_bytes(coded)), float(np.mean(scores)), worst)


def bisect(
    raw: RawVideo, scenes: Sequence[Scene], coding: Coding, vmaf: float, folder: Path
) -> Encode:
    """Find the encode whose mean VMAF is `vmaf`, by bisection over whole numbers.

    It is interpolated between two neighbours, the bytes by their logarithm.
    """
    finest, coarsest = _FINEST, _COARSEST
    known: dict[int, Encode] = {}
    while coarsest - finest > 1:
        middle = (finest + coarsest) // 2
        known[middle] = encode_whole(raw, scenes, coding, middle, folder)
        if known[middle].vmaf >= vmaf:
            finest = middle
        else:
            coarsest = middle
    for end in {finest, coarsest} - known.keys():
        known[end] = encode_whole(raw, scenes, coding, end, folder)
    fine, coarse = known[finest], known[coarsest]
    part = (fine.vmaf - vmaf) / (fine.vmaf - coarse.vmaf)
    logarithms = [np.array([each[0], np.log(each[1]), *each[2:]]) for each in (fine, coarse)]
    quantizer, size, mean, worst = (1 - part) * logarithms[0] + part * logarithms[1]
    return Encode(float(quantizer), float(np.exp(size)), float(mean), float(worst))


def search_by_samples(raw: RawVideo, coding: Coding, target: float, folder: Path) -> float:
    """Find one CRF for a whole video as `ab-av1 crf-search` does.

    Samples of 20 s, one for each 12 min, are encoded and measured at CRFs that are interpolated
    between those known, until their mean VMAF is barely above the target.
    """
    seconds = raw.video.times[-1]
    count = int(np.ceil(seconds / _SECONDS_PER_SAMPLE))
    length = round(_SAMPLE_SECONDS * raw.video.frames / seconds)
    whole = Scene(0, raw.video.frames, 0, seconds)
    parts = np.linspace(0, whole.end, count + 1).astype(int)
    of_part = [whole._replace(first=int(a), end=int(b)) for a, b in pairwise(parts)]
    samples = []
    middles = [[scene.middle(length)] for scene in of_part]
    for (middle,), (clip,) in zip(middles, write_windows(raw, middles, folder)):
        samples.append((clip.rename(folder / f"sample{middle.start}.nut"), len(middle)))
    known: dict[float, float] = {_FINEST: 100, _COARSEST: 0}
    crf: float = (_FINEST + _COARSEST) // 2
    while crf not in known:
        known[crf] = _measure_samples(samples, raw, coding, crf, folder)
        if target <= known[crf] <= target + _ABOVE:
            break
        finer = max(each for each, vmaf in known.items() if vmaf >= target)
        coarser = min(each for each, vmaf in known.items() if vmaf < target)
        if finer == _FINEST or coarser == _COARSEST:
            crf = coding.fit((finer + coarser) / 2)
        else:
            part = (known[finer] - target) / (known[finer] - known[coarser])
            crf = coding.fit(finer + part * (coarser - finer))
    return max(each for each, vmaf in known.items() if vmaf >= target)


def _measure_samples(
    samples: Sequence[tuple[Path, int]], raw: RawVideo, coding: Coding, crf: float, folder: Path
) -> float:
    coded, scores = folder / "sample.coded.nut", []
    for sample, frames in samples:
        encode_clip(sample, coded, coding, crf, raw, "null")
        scores += score_video(coded, sample, frames)
    return float(np.mean(scores))
