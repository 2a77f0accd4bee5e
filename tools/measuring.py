"""Cost and errors of choosing a QP by prediction, by one more trial encode, or by a search.

No viewers are involved: the true level is the lowest QP at which VMAF falls below the thresholds
that the weights' labels stand for, found by encoding.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from common.base.constants import HEIGHT, LEVELS, WIDTH
from common.base.errors import UserError
from common.base.progress import Progress
from common.base.temporary import temporary_folder
from common.data.frames import VIEWS
from common.data.pictures import read_rgb
from common.data.statistics import measure_statistics
from common.datasets.proxy_labels import THRESHOLDS, find_levels, find_lowest_below
from common.encoding.clips import encode_clip
from common.encoding.encoders import OF_LEVELS
from common.encoding.planning import ScenePlan, choose_windows, plan_scenes
from common.encoding.raw import choose_raw
from common.encoding.scores import Measure
from common.encoding.windows import write_windows
from common.inference.predictor import Predictor
from common.inference.records import ScenePrediction
from common.inference.video import predict_scenes
from common.video import h264
from common.video.probe import probe
from common.video.quality import score_streams, score_video
from tools.samples import find_large, make_clips, make_frames

QPS = range(1, 52)
Decision = TypeVar("Decision")
_VIEW = "centre"  # the commands' default
WAYS = SEARCHED, PREDICTED, ADJUSTED = "searched", "predicted", "predicted, adjusted after a trial"


def _time_cpu(decide: Callable[..., Decision], *given: object) -> tuple[Decision, float]:
    """Return a decision, and its CPU seconds, including those of started processes."""
    before = sum(os.times()[:4])
    return decide(*given), sum(os.times()[:4]) - before


def decide_frames(predictor: Predictor, frames: Sequence[np.ndarray], title: str) -> pd.DataFrame:
    """Measure CPU seconds and mean errors over each frame's three levels, for the three ways."""
    rows = []
    for frame in Progress(frames, title, unit="frame"):
        levels, searching = _time_cpu(find_levels, frame)
        true = np.array([level.coded for level in levels])
        predicted, predicting = _time_cpu(_predict_frame, predictor, frame)
        adjusted, more = _time_cpu(_adjust_frame, frame, predicted)
        rows += [
            (SEARCHED, searching, 0.0),
            (PREDICTED, predicting, np.abs(predicted - true).mean()),
            (ADJUSTED, predicting + more, np.abs(adjusted - true).mean()),
        ]
    return _summarise(rows, title)


def _predict_frame(predictor: Predictor, frame: np.ndarray) -> np.ndarray:
    return predictor.levels(frame, _VIEW)


def _adjust_frame(frame: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Adjust levels by one run of x264 at the predicted QPs, interpolating VMAF between them."""
    qps = sorted({int(np.clip(round(float(level)), 4, 51)) for level in levels})
    (scores,) = score_streams([frame], h264.encode_each([frame], [qps]))
    losses = np.maximum.accumulate(np.log(np.maximum(100 - np.array(scores), 0.01)))
    targets = np.log(100 - np.array(THRESHOLDS))
    slope = (losses[-1] - losses[0]) / (qps[-1] - qps[0]) if len(qps) > 1 else 0.11
    inside = np.interp(targets, losses, qps)
    outside = np.minimum(targets - losses[0], 0) + np.maximum(targets - losses[-1], 0)
    # The first whole QP below the threshold.
    return np.ceil(inside + outside / max(slope, 0.03))


def decide_clips(predictor: Predictor, clips: Sequence[Path], title: str) -> pd.DataFrame:
    """Measure the same for clips at JND1; here a search encodes the whole clip repeatedly."""
    rows = []
    for clip in Progress(clips, title, unit="clip"):
        true, searching = _time_cpu(find_clip_level, clip)
        predictions, predicting = _time_cpu(_predict_clip, predictor, clip)
        levels = [each.levels["JND1"] for each in predictions]
        planned, more = _time_cpu(_plan, clip, predictions)
        predicted, adjusted = (
            float(np.average(qps, weights=_scene_lengths(predictions)))
            for qps in (levels, [each.quantizer for each in planned])
        )
        rows += [
            (SEARCHED, searching, 0.0),
            (PREDICTED, predicting, abs(predicted - true)),
            (ADJUSTED, predicting + more, abs(adjusted - true)),
        ]
    return _summarise(rows, title)


def _predict_clip(predictor: Predictor, clip: Path) -> list[ScenePrediction]:
    return predict_scenes(predictor, probe(clip), _VIEW, 3)


def find_clip_level(clip: Path, threshold: float = THRESHOLDS[0]) -> int:
    """Find the lowest QP at which the mean VMAF of a clip, encoded by x264, is below `threshold`.

    Raises:
        UserError: there is none up to 51.
    """
    raw = choose_raw(probe(clip), "x264")
    scores: dict[int, float] = {}

    def score(qp: int) -> float:
        if qp not in scores:
            coded = folder / "trial.nut"
            encode_clip(clip, coded, OF_LEVELS, qp, raw, f"{raw.graph},{raw.tags}")
            scores[qp] = float(
                np.mean(score_video(coded, clip, raw.video.frames, raw.measuring_graphs))
            )
        return scores[qp]

    with temporary_folder() as folder:
        level = find_lowest_below(score, threshold, QPS[0], QPS[-1])
    if level is None:
        raise UserError(f"{clip}: VMAF stays at or above {threshold:g} up to QP 51")
    return level


def _scene_lengths(predictions: list[ScenePrediction]) -> list[int]:
    return [each.scene.frames for each in predictions]


def _plan(clip: Path, predictions: list[ScenePrediction]) -> list[ScenePlan]:
    levels = [each.levels["JND1"] for each in predictions]
    raw = choose_raw(probe(clip), "x264")
    scenes = [each.scene for each in predictions]
    with temporary_folder() as folder:
        rows = zip(levels, write_windows(raw, choose_windows(scenes, OF_LEVELS), folder))
        return plan_scenes(
            raw, scenes, rows, OF_LEVELS, target_vmaf=THRESHOLDS[0], measure=Measure()
        )


def _summarise(rows: list[tuple[str, float, float]], title: str) -> pd.DataFrame:
    """Average CPU seconds and errors by way."""
    table = pd.DataFrame(rows, columns=["way", "cpu_seconds", "mean_error_qp"])
    means = table.groupby("way", sort=False).mean()
    means.insert(1, "times_cheaper", means.cpu_seconds[SEARCHED] / means.cpu_seconds)
    return means.reset_index().assign(what=title, count=len(rows) // len(WAYS))


def measure_decisions(predictor: Predictor, pictures: Sequence[Path], count: int) -> pd.DataFrame:
    """Run `decide_frames` at two sizes, and `decide_clips`, on `count` pictures or clips."""
    find_large(pictures, 1920, 1080, least=2)  # fail now, not after measuring smaller frames
    for parts in (1, 2, 4):  # compile before measuring
        predictor.levels(np.zeros((parts, 8, 8, 3), np.uint8))
    tables = []
    for width, height in ((WIDTH, HEIGHT), (1920, 1080)):
        frames = make_frames(pictures, width, height, count)
        tables.append(decide_frames(predictor, frames, f"frames of {width}x{height}"))
    with temporary_folder() as folder:
        clips = [*make_clips(pictures, folder, count)]
        tables.append(decide_clips(predictor, clips, "clips of 5 s at 1280x720"))
    return pd.concat(tables)


def measure_views(predictor: Predictor, pictures: Sequence[Path], count: int) -> pd.DataFrame:
    """Measure mean errors over the three levels of a model's head for each of `VIEWS`.

    A regression, which sees the whole picture in any view, has a row of its own. Up to `count`
    pictures of at least 1000x500 pixels are used. The true level is the QP at which the whole
    picture, at its own size, falls below the thresholds, interpolated.
    """
    large = find_large(pictures, 1000, 500)[:count]
    regression, predictor.regression = predictor.regression, None
    true: list[list[float]] = []
    levels: dict[str, list[np.ndarray]] = {name: [] for name in VIEWS}
    statistics = []
    for path in Progress(large, "views", unit="picture"):
        rgb = read_rgb(path)
        rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
        true.append([level.exact for level in find_levels(rgb)])
        for name in VIEWS:
            levels[name].append(predictor.levels(rgb, name))
        if regression:
            statistics.append(measure_statistics(rgb))
    if regression:
        levels["any, by the regression"] = [*regression.predict(np.array(statistics))]
    rows = []
    for name, predicted in {**levels, "always their median": [np.median(true, axis=0)]}.items():
        errors = np.array(predicted) - np.array(true)
        means = np.abs(errors).mean(axis=0)
        row = {"view": name, "pictures": len(true), "mean_error_qp": means.mean()}
        rows.append({**row, **dict(zip(LEVELS, means)), "bias_qp": errors.mean()})
    return pd.DataFrame(rows)


MEASURES = {"decide": measure_decisions, "views": measure_views}
