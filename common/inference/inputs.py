"""Prediction for files and folders of pictures and videos, here or on a cluster."""

import functools
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from ..base.errors import UserError
from ..base.files import checksum
from ..base.parallel import cluster_map
from ..data.kinds import BITSTREAM, PICTURE, VIDEO, kind
from ..data.listing import Inputs, find_inputs
from ..video import jpeg
from ..video.quality import versions
from .predictor import Predictor
from .records import Failure, Prediction, VideoPrediction
from .runtime import Choice, choose_runtime, fingerprint
from .video import predict_video

Result = Prediction | VideoPrediction | Failure


def find_media(paths: list[Path], coded: bool = False) -> Inputs:
    """Call `find_inputs` for pictures and videos and, if `coded`, for bitstream files."""
    kinds = {PICTURE, VIDEO} | ({BITSTREAM} if coded else set())
    return find_inputs(paths, kinds, "pictures or videos")


def predict_inputs(
    predictor: Predictor,
    paths: Iterable[Path],
    view: str,
    frames_per_scene: int,
    unit: str | None = None,
) -> Iterator[Result]:
    """Yield the prediction for each picture, bitstream file and video, or its failure.

    Consecutive pictures are read ahead. For the other arguments, see `predict_video`.
    """
    for are_pictures, group in groupby(paths, lambda path: kind(path) in (PICTURE, BITSTREAM)):
        if are_pictures:
            yield from predictor.predict(group, view)
            continue
        for path in group:
            try:
                yield predict_video(
                    path, predictor, view=view, frames_per_scene=frames_per_scene, unit=unit
                )
            except UserError as error:
                yield Failure(path=path, error=error)


def predict_on_cluster(
    scheduler: str, predictor: Predictor, paths: list[Path], *settings: Any
) -> Iterator[Result]:
    """Do the same as `predict_inputs` on the workers of a Dask cluster.

    Inputs and weights must have the same paths on all workers.

    Args:
        scheduler: address of the Dask scheduler, tcp://HOST:PORT.
        settings: the arguments of `predict_inputs` after `paths`.

    Raises:
        UserError: as `cluster_map`.
    """
    function = functools.partial(_predict_on_worker, predictor.arguments, settings)
    given = predictor.weights.absolute(), predictor.choice, predictor.regression is not None
    environment = functools.partial(_fingerprint, *given)
    absolute = [path.absolute() for path in paths]
    results = cluster_map(scheduler, environment, function, absolute, "files")
    return (replace(result, path=path) for path, result in zip(paths, results))


_LOADING = threading.Lock()  # the threads of a worker share one predictor


@functools.lru_cache(1)
def _load_predictor(*arguments: Any) -> Predictor:
    return Predictor(*arguments)


def _predict_on_worker(arguments: tuple, settings: tuple, path: Path) -> Result:
    with _LOADING:
        predictor = _load_predictor(*arguments)
    (result,) = predict_inputs(predictor, [path], *settings)
    return result


def _fingerprint(weights: Path, choice: Choice, measures: bool) -> dict[str, str]:
    """Describe everything but the inputs that levels depend on, for comparison with workers.

    Args:
        measures: whether the model has a regression, whose statistics ffmpeg and Pillow measure.
    """
    tools = {**versions(), "jpeg": jpeg.encoder()} if measures else {}
    return {
        **tools,
        "runtime": fingerprint(choose_runtime(*choice)),
        str(weights): checksum([weights.read_bytes()])[:16],
    }
