"""What decisions cost and get right: predicted, tried once, or searched for by encodes.

Nobody's eyes are asked here: right is the lowest QP at which VMAF falls below the thresholds that
the weights' labels stand for, found by encoding.
"""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from common.base.constants import HEIGHT, LEVELS, QP, WIDTH
from common.base.errors import UserError
from common.base.files import temporary_folder
from common.data.pictures import read_rgb
from common.data.views import VIEWS, cutouts
from common.datasets.objective import THRESHOLDS, find_levels, find_levels_of_each, lowest_below
from common.datasets.preparation import PORTION
from common.encoding.clips import encode_clip, vmaf_of_frames, windows
from common.encoding.delivery import constant_of_equal_vmaf, deliver
from common.encoding.encoders import ENCODERS
from common.encoding.planning import plan
from common.encoding.raw import choose_raw
from common.inference.answers import of_video
from common.inference.predictor import Predictor
from common.video import h264
from common.video.probe import probe
from common.video.scenes import Scene
from tools.samples import find_large, frames_of, panned_clips

QPS = range(1, 52)
Decided = TypeVar("Decided")
_VIEW = "centre"  # the commands' default
# Of the parts that a picture is seen as, besides their mean.
PERCENTILES = (25, 40)


def _cpu_seconds(decide: Callable[..., Decided], *given: object) -> tuple[Decided, float]:
    """What it gives, and the CPU seconds that it and the processes it starts take."""
    before = sum(os.times()[:4])
    return decide(*given), sum(os.times()[:4]) - before


def decide_frames(predictor: Predictor, frames: Sequence[np.ndarray], title: str) -> list[dict]:
    """CPU seconds and errors, over the three levels of each frame, of three ways to decide."""
    rows: dict[str, list] = {"searched": [], "predicted": [], "predicted and tried": []}
    for frame in tqdm(frames, title, unit="frame", disable=None, leave=False):
        levels, seconds = _cpu_seconds(find_levels, frame)
        true = np.array([level.qp for level in levels])
        rows["searched"].append((seconds, 0.0))
        predicted, first = _cpu_seconds(_predicted, predictor, frame)
        rows["predicted"].append((first, np.abs(predicted - true).mean()))
        tried, more = _cpu_seconds(_tried_once, frame, predicted)
        rows["predicted and tried"].append((first + more, np.abs(tried - true).mean()))
    return _summary(rows, title)


def _predicted(predictor: Predictor, frame: np.ndarray) -> np.ndarray:
    return predictor.levels(np.stack(VIEWS[_VIEW](frame))).mean(axis=0)


def _tried_once(frame: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Levels by one run of x264 at the QPs predicted, and VMAF's course between them."""
    qps = sorted({int(np.clip(round(float(level)), 4, 51)) for level in levels})
    (scores,) = h264.vmaf_of_each([frame], h264.encode_each([frame], [qps]))
    losses = np.maximum.accumulate(np.log(np.maximum(100 - np.array(scores), 0.01)))
    wanted = np.log(100 - np.array(THRESHOLDS))
    slope = (losses[-1] - losses[0]) / (qps[-1] - qps[0]) if len(qps) > 1 else 0.11
    inside = np.interp(wanted, losses, qps)
    outside = np.minimum(wanted - losses[0], 0) + np.maximum(wanted - losses[-1], 0)
    # The first whole QP below the threshold.
    return np.ceil(inside + outside / max(slope, 0.03))


def decide_clips(predictor: Predictor, clips: Sequence[Path], title: str) -> list[dict]:
    """The same of whole clips at JND1, where a search encodes the clip again and again."""
    rows: dict[str, list] = {"searched": [], "predicted": [], "predicted and tried": []}
    for clip in tqdm(clips, title, unit="clip", disable=None, leave=False):
        true, seconds = _cpu_seconds(_searched, clip)
        rows["searched"].append((seconds, 0.0))
        video, first = _cpu_seconds(_predicted_of_clip, predictor, clip)
        levels = [row["levels"]["JND1"] for row in video["scenes"]]
        whole = np.average(levels, weights=_lengths(video))
        rows["predicted"].append((first, abs(whole - true)))
        planned, more = _cpu_seconds(_planned, clip, video, True)
        tried = np.average([each.qp for each in planned], weights=_lengths(video))
        rows["predicted and tried"].append((first + more, abs(tried - true)))
    return _summary(rows, title)


def _predicted_of_clip(predictor: Predictor, clip: Path) -> dict:
    return of_video(predictor, probe(clip), _VIEW, 3, QP)


def _searched(clip: Path) -> int:
    return true_level(clip)


def true_level(clip: Path, threshold: float = THRESHOLDS[0]) -> int:
    """The lowest QP at which the mean VMAF of a clip, encoded by x264, is below the threshold."""
    raw = choose_raw(probe(clip), "x264")
    scores: dict[int, float] = {}

    def score(qp: int) -> float:
        if qp not in scores:
            coded = folder / "tried.nut"
            encode_clip(clip, coded, ENCODERS["x264"], qp, raw, f"{raw.graph},{raw.tags}")
            scores[qp] = float(np.mean(vmaf_of_frames(coded, clip, raw.video.frames, raw)))
        return scores[qp]

    with temporary_folder() as folder:
        levels = lowest_below(score, threshold, QPS[0], QPS[-1])
    if levels is None:
        raise UserError(f"{clip}: VMAF stays at or above {threshold:g} up to QP 51")
    return levels


def _lengths(video: dict) -> list[int]:
    return [row["last_frame"] + 1 - row["first_frame"] for row in video["scenes"]]


def _scenes(video: dict) -> list[Scene]:
    return [
        Scene(row["first_frame"], row["last_frame"] + 1, row["start"], row["end"])
        for row in video["scenes"]
    ]


def _planned(clip: Path, video: dict, verify: bool) -> list:
    levels = [row["levels"]["JND1"] for row in video["scenes"]]
    raw = choose_raw(probe(clip), "x264")
    return plan(raw, _scenes(video), levels, "x264", QPS, THRESHOLDS[0], verify)


def _summary(rows: dict[str, list], title: str) -> list[dict]:
    searched = np.mean([seconds for seconds, _ in rows["searched"]])
    table = []
    for way, measured in rows.items():
        seconds, error = np.mean(measured, axis=0)
        row = {"what": title, "count": len(measured), "way": way, "cpu_seconds": seconds}
        table.append({**row, "times_cheaper": searched / seconds, "mean_error_qp": error})
    return table


def view_errors(predictor: Predictor, pictures: Sequence[Path]) -> list[dict]:
    """Errors of what the model may be shown of whole pictures, over the three levels.

    Right is the lowest QP at which the whole picture, at its own size, falls below the thresholds.
    """
    levels: dict[str, list[np.ndarray]] = {name: [] for name in VIEWS}
    levels |= {f"cutouts, percentile {each}": [] for each in PERCENTILES}
    levels |= {"nine cutouts": []}
    true = []
    for path in tqdm(pictures, "views", unit="picture", disable=None, leave=False):
        rgb = read_rgb(path)
        rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
        true.append([level.qp for level in find_levels(rgb)])
        for name, view in VIEWS.items():
            seen = predictor.levels(np.stack(view(rgb)))
            levels[name].append(seen.mean(axis=0))
            if name == "cutouts":
                for each in PERCENTILES:
                    levels[f"{name}, percentile {each}"].append(np.percentile(seen, each, axis=0))
        levels["nine cutouts"].append(predictor.levels(np.stack(cutouts(rgb, 3))).mean(axis=0))
    searched = np.array(true)
    rows: list[dict] = []
    for name, of_view in levels.items():
        errors = np.array(of_view) - searched
        row = {"view": name, "pictures": len(true), "mean_error_qp": np.abs(errors).mean()}
        by_level = dict(zip(LEVELS, np.abs(errors).mean(axis=0)))
        rows.append({**row, **by_level, "bias_qp": errors.mean()})
    spread = np.abs(searched - np.median(searched, axis=0)).mean()
    return [*rows, {"view": "their own median", "pictures": len(true), "mean_error_qp": spread}]


def delivered(predictor: Predictor, clip: Path) -> dict:
    """Bits of a clip encoded at its predicted JND1, beside other ways to the same end.

    Those of the one constant QP of equal mean VMAF; and those at each scene's true level.
    """
    raw = choose_raw(probe(clip), "x264")
    video = of_video(predictor, raw.video, _VIEW, 3, QP)
    scenes, row = _scenes(video), {"clip": clip.stem, "scenes": len(video["scenes"])}
    with temporary_folder() as folder:
        for name, verify in (("as predicted", False), ("verified", True)):
            planned, target = _planned(clip, video, verify), folder / f"{verify}.mkv"
            size, vmaf = deliver(raw, target, planned, "x264", True, False)
            row |= {f"{name}, MB": size / 1e6, f"{name}, worst VMAF": min(vmaf)}
            row[f"{name}, QPs"] = "/".join(str(each.qp) for each in planned)
        mean = float(np.average(vmaf, weights=_lengths(video)))
        qp, taken = constant_of_equal_vmaf(raw, planned, "x264", mean)
        row |= {"one QP": qp, "one QP, MB": taken / 1e6}
        true = [true_level(part) for part in windows(raw, scenes, folder, length=None)]
        best = [each._replace(qp=level) for each, level in zip(planned, true)]
        size, vmaf = deliver(raw, folder / "true.mkv", best, "x264", True, False)
        row |= {"true levels": "/".join(map(str, true)), "true levels, MB": size / 1e6}
        row["true levels, worst VMAF"] = min(vmaf)
    return row


def decisions(predictor: Predictor, pictures: Sequence[Path], count: int) -> list[dict]:
    """`decide_frames` at two sizes, and `decide_clips`, of the first `count` pictures or clips."""
    find_large(pictures, 1920, 1080, least=2)  # fail now, not after measuring smaller frames
    for parts in (1, 2, 4):  # compiled before anything is measured
        predictor.levels(np.zeros((parts, 8, 8, 3), np.uint8))
    rows = []
    for width, height in ((WIDTH, HEIGHT), (1920, 1080)):
        frames = frames_of(pictures, width, height, count)
        rows += decide_frames(predictor, frames, f"frames of {width}x{height}")
    with temporary_folder() as folder:
        clips = [*panned_clips(pictures, folder, count)]
        return rows + decide_clips(predictor, clips, "clips of 5 s at 1280x720")


def label_searches(pictures: Sequence[Path], count: int) -> list[dict]:
    """CPU seconds per frame of the search for labels, and of one that encodes QP by QP.

    Of up to `count` pictures, at 640x352, several QPs of `PORTION` frames at once, as `prepare` has
    them; `frames_apart` counts those that the two find other levels for.
    """
    frames = frames_of(pictures, WIDTH, HEIGHT, count)
    rows, apart = {"several at once": 0.0, "QP by QP": 0.0}, 0
    for start in tqdm(range(0, len(frames), PORTION), "labels", disable=None, leave=False):
        portion = frames[start : start + PORTION]
        found, together = _cpu_seconds(find_levels_of_each, portion)
        rows["several at once"] += together
        for frame, levels in zip(portion, found):
            if isinstance(levels, UserError):
                raise levels
            alone, singly = _cpu_seconds(_levels_by_bisection, frame)
            rows["QP by QP"] += singly
            apart += [level.qp for level in levels] != alone
    spent = rows["QP by QP"]
    return [
        {
            "search": search,
            "frames": len(frames),
            "cpu_seconds": seconds / len(frames),
            "times_cheaper": spent / seconds,
            "frames_apart": apart,
        }
        for search, seconds in rows.items()
    ]


def _levels_by_bisection(frame: np.ndarray) -> list[int | None]:
    """Levels by an encode and a run of VMAF per QP that is asked for."""

    @functools.cache
    def score(qp: int) -> float:
        return h264.measure(frame, h264.encode(frame, qp), ["vmaf"])["vmaf"]

    return [lowest_below(score, threshold) for threshold in THRESHOLDS]


def deliveries(predictor: Predictor, pictures: Sequence[Path], count: int) -> list[dict]:
    """`delivered` of up to `count` clips."""
    with temporary_folder() as folder:
        clips = tqdm(panned_clips(pictures, folder, count), "clips", count, disable=None)
        return [delivered(predictor, clip) for clip in clips]


def views(predictor: Predictor, pictures: Sequence[Path], count: int) -> list[dict]:
    """Run `view_errors` on the first `count` pictures of at least 1000x500 pixels."""
    return view_errors(predictor, find_large(pictures, 1000, 500)[:count])


def table_text(rows: list[dict]) -> str:
    """A table as Markdown."""
    return pd.DataFrame(rows).to_markdown(index=False, floatfmt=".2f")
