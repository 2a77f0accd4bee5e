"""Encoding of pictures at their predicted levels, as JPEG, WebP or AVIF.

picture ─ predicted quality ─ trial encode ─ VMAF ─ next quality ─ ... ─ the trial of about the
wanted VMAF: that which defines the level or, for viewers' labels, that of JPEG at the level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.constants import LEVELS, QUALITY
from ..base.errors import UserError, as_result, report_skipped
from ..base.files import atomic_write, check_writable
from ..base.parallel import parallel_map
from ..inference.predictor import Predictor
from ..models.labels import JPEG_THRESHOLDS
from ..video.quality import LEAST_SIDE, measure
from .encode import find_target
from .originals import Original, read_original
from .picture_files import decode_picture, encode_picture, is_available, list_losses
from .picture_formats import JPEG, PictureFormat, find_format
from .quality_search import Trial, clamp, find_quality, select_trial


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """Options of `encode_pictures`."""

    level: str = LEVELS[0]  # "JND1", "JND2" or "JND3"
    vmaf: float | None = None  # wanted in place of the level's
    subsampling: str = "4:2:0"  # of the chroma
    view: str = "centre"  # a key of `VIEWS`
    verify: bool = True  # correct the quality by trial encodes
    dry_run: bool = False  # write nothing
    overwrite: bool = False  # replace existing files


@dataclass(frozen=True, kw_only=True)
class EncodedPicture:
    """What `encode_pictures` made of a picture."""

    path: Path
    target: Path
    level: float | None  # predicted, a JPEG quality; None: no model predicted it
    quality: int | None  # of the format's encoder; None: the input was copied
    vmaf: float | None  # None: not measured
    trials: int  # encodes
    input_bytes: int
    output_bytes: int
    notes: list[str]


def encode_pictures(
    pairs: Sequence[tuple[Path, Path]],
    options: PictureOptions,
    predictor: Predictor | None = None,
    alone: bool = False,
) -> list[EncodedPicture | UserError]:
    """Encode pictures, each into its file, completely or not at all; some side by side.

    Those that cannot be encoded are reported on stderr in order, while others are encoded.

    Args:
        predictor: its levels are JPEG qualities; without one, each search begins at the quality
            that most pictures have.
        alone: whether this is the only input of a program, which reports its error itself.

    Returns:
        For each pair, what was made or why not.

    Raises:
        UserError: the predictor's levels are not JPEG qualities, or Pillow lacks an encoder.
    """
    for form in (find_format(target) for _, target in pairs):
        if not is_available(form):
            raise UserError(f"this Pillow was built without {form.name}; choose another format")
    if predictor and predictor.labels.codec != QUALITY:
        predicts = "QPs" if predictor.labels.codec else "levels of an unknown codec"
        raise UserError(f"{predictor.weights}: predicts {predicts}; pictures need JPEG qualities")

    def encode(pair: tuple[Path, Path]) -> EncodedPicture | UserError:
        return as_result(_encode, *pair, options, predictor)

    def report(result: EncodedPicture | UserError) -> None:
        if isinstance(result, UserError) and not alone:
            report_skipped(result)

    return parallel_map(encode, pairs, "pictures", observe=report)


def find_wanted(options: PictureOptions, predictor: Predictor | None) -> float | None:
    """Find the VMAF to give pictures; None: that of JPEG at the level of each."""
    if options.vmaf is not None:
        return options.vmaf
    if predictor is None:
        return JPEG_THRESHOLDS[LEVELS.index(options.level)]
    return find_target(predictor.labels, options.level)


class PictureJob(NamedTuple):
    """A picture to encode in a format."""

    original: Original
    form: PictureFormat
    subsampling: str

    def encode(self, quality: int) -> bytes:
        return encode_picture(self.original, self.form, quality, self.subsampling)

    def attempt(self, quality: int) -> Trial:
        """Encode at a quality, and measure the VMAF beside the original, both shown on white."""
        data = self.encode(quality)
        pair = self.original.on_white(), decode_picture(data)
        height, width = (side // 2 * 2 for side in pair[0].shape[:2])  # 4:2:0 needs even sides
        reference, distorted = (np.ascontiguousarray(each[:height, :width]) for each in pair)
        return Trial(quality, data, measure(reference, distorted, ["vmaf"])["vmaf"])


class _Choice(NamedTuple):
    """The quality that was chosen for a picture."""

    quality: int | None  # None: the input is copied
    data: bytes  # the whole file
    vmaf: float | None  # None: not measured
    trials: int  # encodes
    notes: list[str]


def _encode(
    path: Path, target: Path, options: PictureOptions, predictor: Predictor | None
) -> EncodedPicture:
    form = find_format(target)
    if not options.dry_run:
        check_writable(target, overwrite=options.overwrite, inputs=[path])
    original = read_original(path)
    if max(original.rgb.shape) > form.longest_side:
        raise UserError(f"{path}: {form.name} has at most {form.longest_side} pixels a side")
    wanted = find_wanted(options, predictor)
    try:
        level = _predict(predictor, original, options) if predictor else None
        job = PictureJob(original, form, options.subsampling)
        choice = (
            _choose(job, level, wanted, lowest_counts=options.vmaf is not None)
            if options.verify
            else _take_first(job, level)
        )
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (OSError, ValueError, RuntimeError) as error:  # of Pillow's encoders, or ffmpeg
        raise UserError(f"{path}: cannot be encoded as {form.name} ({error})") from None
    size = path.stat().st_size
    if original.format == form.name and len(choice.data) >= size:
        note = "copied, since encoding it again would not make it smaller"
        choice = _Choice(None, path.read_bytes(), None, choice.trials, [note])
    else:
        notes = [*original.notes, *list_losses(original, form), *choice.notes]
        if len(choice.data) > size:
            notes.append(f"larger than its {original.format} file")
        choice = choice._replace(notes=notes)
    if not options.dry_run:
        with atomic_write(target, overwrite=options.overwrite) as temporary:
            temporary.write_bytes(choice.data)
    return EncodedPicture(
        path=path,
        target=target,
        level=level,
        quality=choice.quality,
        vmaf=choice.vmaf,
        trials=choice.trials,
        input_bytes=size,
        output_bytes=len(choice.data),
        notes=choice.notes,
    )


def _predict(predictor: Predictor, original: Original, options: PictureOptions) -> float:
    levels = predictor.levels(original.on_white(), options.view)
    return float(levels[predictor.names.index(options.level)])


def _take_first(job: PictureJob, level: float | None) -> _Choice:
    """Encode at the quality of the level, without measuring."""
    quality = clamp(job.form.convert(level), job.form.qualities)
    return _Choice(quality, job.encode(quality), None, 1, [])


def _choose(
    job: PictureJob, level: float | None, wanted: float | None, lowest_counts: bool
) -> _Choice:
    """Encode at the quality whose VMAF is nearest to the wanted one, found by trials."""
    if min(job.original.rgb.shape[:2]) < LEAST_SIDE:
        note = f"not verified: a side under {LEAST_SIDE} pixels is too small for VMAF"
        return _take_first(job, level)._replace(notes=[note])
    before = 0
    if wanted is None:
        quality = clamp(JPEG.convert(level), JPEG.qualities)
        wanted, before = job._replace(form=JPEG).attempt(quality).vmaf, 1
    trials = find_quality(job.attempt, wanted, job.form.convert(level), job.form.qualities)
    best, notes = select_trial(trials, wanted, lowest_counts)
    return _Choice(best.quality, best.data, best.vmaf, before + len(trials), notes)
