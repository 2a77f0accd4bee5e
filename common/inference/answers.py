"""The levels of pictures and videos, as a document, as lines to read, and as a table."""

import functools
import logging
import threading
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ..base.constants import QUALITY
from ..base.errors import UserError, printable, report_skipped
from ..base.files import check_regular, checksum
from ..base.parallel import cluster_map
from ..codec.bitstream import is_bitstream, read_bitstream
from ..data.kinds import BITSTREAM, PICTURE, VIDEO, kind
from ..data.text import readable
from ..video.frame_codecs import CODECS
from ..video.frames import read_frames
from ..video.probe import Video, probe
from ..video.scenes import find_scenes
from .pipeline import Prediction
from .predictor import Predictor
from .runtime import Choice, choose_runtime, fingerprint

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import pandas as pd

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
        UserError: as `cluster_map`.
    """
    document = _about(predictor, view, unit)
    how = view, frames_per_scene, document["unit"]
    entries: Iterable[dict]
    if workers:
        of_input = functools.partial(_of_input_on_worker, workers.predictor, how)
        loaded = functools.partial(_fingerprint, predictor.weights.absolute(), predictor.choice)
        absolute = [path.absolute() for path in inputs]
        entries = cluster_map(workers.scheduler, loaded, of_input, absolute, "files")
    else:
        entries = _describe_inputs(predictor, how, inputs)
        entries = tqdm(entries, total=len(inputs), unit="file", disable=None, leave=False)
    for path, entry in zip(inputs, entries):
        if "error" in entry:
            report_skipped(entry["error"])
        for note in entry.get("notes", ()):
            _log.warning("%s: %s", path, note)
        document["errors" if "error" in entry else "inputs"].append(
            {"file": readable(path), **entry}
        )
    return document


def _about(predictor: Predictor, view: str, unit: str | None) -> dict[str, Any]:
    """A document that tells of no input yet."""
    codec = predictor.labels.codec
    return {
        "model": predictor.description.title,
        "weights": readable(predictor.weights),
        "codec": codec or NOT_TOLD,
        "unit": CODECS[codec].unit if codec in CODECS else unit or NOT_TOLD,
        "labels": predictor.labels.describe() or NOT_TOLD,
        "view": view,
        "inputs": [],
        "errors": [],
    }


def _describe_inputs(
    predictor: Predictor, how: tuple[str, int, str], inputs: Iterable[Path]
) -> Iterator[dict]:
    """Yield the entry of each input, or its `error`; consecutive pictures are read ahead."""
    view, frames_per_scene, unit = how
    for are_pictures, group in groupby(inputs, _is_picture):
        paths = list(group)
        if are_pictures:
            for path, prediction in zip(paths, predictor.predict(paths, view)):
                yield _describe_picture(predictor, path, prediction)
            continue
        for path in paths:
            try:
                _check_video(path)
                yield of_video(predictor, probe(path), view, frames_per_scene, unit)
            except UserError as error:
                yield {"error": str(error)}


def _is_picture(path: Path) -> bool:
    return kind(path) in (PICTURE, BITSTREAM)


def _check_video(path: Path) -> None:
    """Check that a file is a video.

    Raises:
        UserError: it is not, by its content or, if that says nothing, by its name.
    """
    try:
        check_regular(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    if kind(path) != VIDEO:
        heic = path.suffix.lower() in (".heic", ".heif")
        mend = "pip install pillow-heif reads it" if heic else "convert it to PNG or MP4"
        raise UserError(f"{path}: neither a picture nor a video that can be read; {mend}")


_LOADING = threading.Lock()  # a worker has threads, and they share one predictor


@functools.lru_cache(1)
def _predictor(*arguments: Any) -> Predictor:
    return Predictor(*arguments)


def _of_input_on_worker(of_predictor: tuple, how: tuple[str, int, str], path: Path) -> dict:
    with _LOADING:
        predictor = _predictor(*of_predictor)
    (entry,) = _describe_inputs(predictor, how, [path])
    return entry


def _fingerprint(weights: Path, choice: Choice) -> dict[str, str]:
    """What levels depend on beside the inputs, for workers to compare."""
    return {
        "runtime": fingerprint(choose_runtime(*choice)),
        str(weights): checksum([weights.read_bytes()])[:16],
    }


def _describe_picture(predictor: Predictor, path: Path, prediction: Prediction | UserError) -> dict:
    if isinstance(prediction, UserError):
        return {"error": str(prediction)}
    about: dict[str, Any] = {"kind": "picture"}
    about |= {"width": prediction.width, "height": prediction.height}
    if is_bitstream(path):  # the view was chosen when it was coded, whatever `view` is now
        about |= {"kind": "coded picture", "view": read_bitstream(path).view}
    if prediction.notes:
        about["notes"] = prediction.notes
    return {**about, "levels": _named(predictor, prediction.levels)}


def of_video(
    predictor: Predictor, video: Video, view: str, frames_per_scene: int, unit: str
) -> dict:
    """A video's levels, size and scenes: what `answer` tells of it.

    Raises:
        UserError: it cannot be read to its end.
    """
    scenes = find_scenes(video)
    numbers = [scene.sample(frames_per_scene) for scene in scenes]
    frames = read_frames(video, [number for each in numbers for number in each])
    predictions = predictor.predict_frames(frames, view)
    levels, rows = [], []
    for scene, sampled in zip(scenes, numbers):
        of_frames = [next(predictions) for _ in sampled]
        levels.append(np.mean([each.levels for each in of_frames], axis=0))
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
        "width": video.format.width,
        "height": video.format.height,
        "frames": video.frames,
        "seconds": round(scenes[-1].end_seconds, 3),
        "levels": _named(predictor, finest(levels, axis=0)),
        "scenes": rows,
    }


def _named(predictor: Predictor, levels: np.ndarray) -> dict[str, float]:
    return {name: round(float(level), 3) for name, level in zip(predictor.names, levels)}


def as_table(document: dict) -> "pd.DataFrame":
    """A row per picture, per video and per scene of it."""
    import pandas as pd

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
