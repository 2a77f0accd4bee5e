"""The levels of pictures and videos, as a document, as lines to read, and as a table."""

from __future__ import annotations

import functools
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from common.codecs.codec import CODECS
from common.data.kinds import BITSTREAM, PICTURE, VIDEO, kind
from common.data.pictures import read_picture
from common.data.text import readable
from common.data.views import VIEWS
from common.errors import UserError, printable, say_left_out
from common.facts import QUALITY
from common.files import check_regular, checksum
from common.framework import tf
from common.models.bitstream import read_coded
from common.models.weights import labels_of
from common.parallel import on_cluster
from common.predictor import Predictor
from common.video.frames import read_frames
from common.video.probe import Video, probe
from common.video.scenes import find_scenes

NOT_TOLD = "not told by the weights"


class Workers(NamedTuple):
    """The workers of a Dask cluster, each of which makes itself the same predictor."""

    scheduler: str
    predictor: tuple[Any, ...]  # the arguments of `Predictor`


def answer(
    predictor: Predictor,
    inputs: list[Path],
    view: str,
    frames_per_scene: int,
    unit: str | None,
    workers: Workers | None = None,
) -> dict:
    """The levels of `inputs`, and what they are, for JSON: see docs/prediction.schema.json.

    A picture's levels are the mean over the parts that the `view` shows of it. A scene's are the
    mean over its sampled frames; a video's are those of its strictest scene, level by level, since
    whoever sees one scene spoiled has noticed. Inputs that cannot be read are told on stderr and
    under `errors`.

    Args:
        view: a key of `VIEWS`.
        unit: what the levels are, where the weights do not tell; None: nobody tells.
        workers: who predicts in place of this process. They find the inputs and the weights under
            the same paths.

    Raises:
        UserError: as `on_cluster`.
    """
    document = _about(predictor, view, unit)
    how = view, frames_per_scene, document["unit"]
    if workers:
        of_input = functools.partial(_of_input_on_worker, workers.predictor, how)
        loaded = functools.partial(_loaded, predictor.weights.absolute())
        absolute = [path.absolute() for path in inputs]
        entries = iter(on_cluster(workers.scheduler, loaded, of_input, absolute, "files"))
    else:
        progress = tqdm(inputs, unit="file", disable=None, leave=False)
        entries = (_of_input(predictor, how, path) for path in progress)
    for path, entry in zip(inputs, entries):
        if "error" in entry:
            say_left_out(entry["error"])
        for note in entry.get("notes", ()):
            print(printable(f"{path}: {note}"), file=sys.stderr)
        document["errors" if "error" in entry else "inputs"].append(
            {"file": readable(path), **entry}
        )
    return document


def _about(predictor: Predictor, view: str, unit: str | None) -> dict[str, Any]:
    """A document that tells of no input yet."""
    labels = labels_of(predictor.weights)
    codec = labels.get("codec")
    return {
        "model": predictor.description.title,
        "weights": readable(predictor.weights),
        "codec": codec or NOT_TOLD,
        "unit": CODECS[codec].unit if codec in CODECS else unit or NOT_TOLD,
        "labels": labels.get("level_kind", NOT_TOLD),
        "view": view,
        "inputs": [],
        "errors": [],
    }


def _of_input(predictor: Predictor, how: tuple[str, int, str], path: Path) -> dict:
    """What there is to tell of an input, or its `error`."""
    view, frames_per_scene, unit = how
    try:
        check_regular(path)
        found = kind(path)
        if found == BITSTREAM:
            return _of_coded(predictor, path)
        if found == PICTURE:
            return _of_picture(predictor, path, view)
        if found == VIDEO:
            return of_video(predictor, probe(path), view, frames_per_scene, unit)
        heic = path.suffix.lower() in (".heic", ".heif")
        mend = "pip install pillow-heif reads it" if heic else "convert it to PNG or MP4"
        raise UserError(f"{path}: neither a picture nor a video that can be read; {mend}")
    except UserError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": f"{path}: {error.strerror or error}"}


_LOADING = threading.Lock()  # a worker has threads, and they share one predictor


@functools.lru_cache(1)
def _predictor(*arguments: Any) -> Predictor:
    return Predictor(*arguments)


def _of_input_on_worker(of_predictor: tuple, how: tuple[str, int, str], path: Path) -> dict:
    with _LOADING:
        predictor = _predictor(*of_predictor)
    return _of_input(predictor, how, path)


def _loaded(weights: Path) -> dict[str, str]:
    """What levels depend on beside the inputs, for workers to compare."""
    return {"TensorFlow": tf.__version__, str(weights): checksum([weights.read_bytes()])[:16]}


def _of_picture(predictor: Predictor, path: Path, view: str) -> dict:
    rgb, notes = read_picture(path)
    about = {"kind": "picture", "width": rgb.shape[1], "height": rgb.shape[0]}
    about |= {"notes": notes} if notes else {}
    return {**about, "levels": _named(predictor, _seen(predictor, rgb, view))}


def _of_coded(predictor: Predictor, path: Path) -> dict:
    """Of the picture as it was fitted when it was coded, whatever the view is now."""
    if not predictor.sees_latents:
        raise UserError(f"{path}: {predictor.description.title} sees pictures, not coded ones")
    picture = read_coded(path)
    about = {"kind": "coded picture", "width": picture.width, "height": picture.height}
    levels = predictor.levels_of_latents(predictor.latents(path))
    return {**about, "view": picture.view, "levels": _named(predictor, levels)}


def of_video(
    predictor: Predictor, video: Video, view: str, frames_per_scene: int, unit: str
) -> dict:
    """A video's levels, size and scenes: what `answer` tells of it.

    Raises:
        UserError: it cannot be read to its end.
    """
    scenes = find_scenes(video)
    numbers = [scene.sampled(frames_per_scene) for scene in scenes]
    frames = read_frames(video, [number for each in numbers for number in each])
    levels, rows = [], []
    for scene, sampled in zip(scenes, numbers):
        of_frames = [_seen(predictor, next(frames), view) for _ in sampled]
        levels.append(np.mean(of_frames, axis=0))
        rows.append(
            {
                "first_frame": scene.first,
                "last_frame": scene.end - 1,
                "start": round(scene.start_seconds, 6),
                "end": round(scene.end_seconds, 6),
                "sampled_frames": sampled,
                "levels": _named(predictor, levels[-1]),
            }
        )
    finest = np.max if unit == CODECS[QUALITY].unit else np.min
    return {
        "kind": "video",
        "width": video.look.width,
        "height": video.look.height,
        "frames": video.frames,
        "seconds": round(scenes[-1].end_seconds, 3),
        "levels": _named(predictor, finest(levels, axis=0)),
        "scenes": rows,
    }


def _seen(predictor: Predictor, rgb: np.ndarray, view: str) -> np.ndarray:
    """The mean levels of the parts that the `view` shows of a picture."""
    return predictor.levels(np.stack(VIEWS[view](rgb))).mean(axis=0)


def _named(predictor: Predictor, levels: np.ndarray) -> dict[str, float]:
    return {name: round(float(level), 3) for name, level in zip(predictor.names, levels)}


def as_table(document: dict) -> pd.DataFrame:
    """A row per picture, per video and per scene of it."""
    rows = []
    for each in document["inputs"]:
        size = {"width": each["width"], "height": each["height"]}
        about = {name: document[name] for name in ("unit", "codec", "labels", "weights")}
        about = {"file": each["file"], "kind": each["kind"], **size, **about}
        rows.append({**about, "scene": "", **each["levels"]})
        for number, scene in enumerate(each.get("scenes", []), 1):
            times = {"start": scene["start"], "end": scene["end"]}
            rows.append({**about, "kind": "scene", "scene": number, **times, **scene["levels"]})
    return pd.DataFrame(rows)


def as_lines(document: dict) -> str:
    """What a person reads: levels, scenes below their video, and what levels are."""
    lines: list[tuple[str, dict[str, float]]] = []
    for each in document["inputs"]:
        lines.append((printable(each["file"]), each["levels"]))
        scenes = each.get("scenes", [])
        if len(scenes) > 1:
            lines += [
                (f"  {row['start']:.1f} to {row['end']:.1f} s", row["levels"]) for row in scenes
            ]
    width = max([4, *(len(name) for name, _ in lines)])
    names = lines[0][1] if lines else ()
    shown = ["file".ljust(width) + "".join(f"{name:>7}" for name in names)]
    for name, levels in lines:
        shown.append(name.ljust(width) + "".join(f"{level:7.1f}" for level in levels.values()))
    codec = document["codec"] if document["codec"] != NOT_TOLD else document["unit"]
    weights = printable(document["weights"])
    shown.append(f"Levels: {codec}. Labels: {document['labels']}. Weights: {weights}.")
    return "\n".join(shown)
