"""Sizes of photographs that `encode` made, beside fixed qualities and a search by bisection."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from common.base.constants import LEVELS
from common.base.files import find_bundled
from common.base.progress import Progress
from common.base.temporary import temporary_folder
from common.encoding.originals import read_original
from common.encoding.picture_formats import JPEG, SUBSAMPLINGS, find_format
from common.encoding.pictures import EncodedPicture, PictureJob, PictureOptions, encode_pictures
from common.encoding.quality_search import Trial
from common.inference.predictor import Predictor
from common.models.labels import JPEG_THRESHOLDS
from tools.samples import find_pictures

_FIXED = (85, 90)  # qualities that people choose
WANTED = JPEG_THRESHOLDS[0]


def bisect(job: PictureJob) -> tuple[Trial, int]:
    """Find the lowest quality of at least the wanted VMAF; also count the encodes."""
    low, high, count = job.form.qualities[0], job.form.qualities[-1], 0
    best = None
    while low < high:
        middle = (low + high) // 2
        trial, count = job.attempt(middle), count + 1
        if trial.vmaf >= WANTED:
            best, high = trial, middle
        else:
            low = middle + 1
    return (best or job.attempt(high)), count


def measure_jpeg(path: Path, made: EncodedPicture) -> dict[str, object]:
    """Measure a picture's JPEG, with those of other ways: a row of the table."""
    job = PictureJob(read_original(path), JPEG, SUBSAMPLINGS[0])
    found, count = bisect(job)
    height, width = job.original.rgb.shape[:2]
    row: dict[str, object] = {
        "picture": path.stem[:32],
        "pixels": f"{width}x{height}",
        "quality": made.quality,
        "VMAF": made.vmaf,
        "encodes": made.trials,
        "kB": made.output_bytes / 1e3,
        "bisection: quality": found.quality,
        "encodes ": count,
        "kB ": len(found.data) / 1e3,
    }
    return row | {f"kB at {each}": len(job.encode(each)) / 1e3 for each in _FIXED}


def measure_formats(
    pairs: list[tuple[Path, Path]], predictor: Predictor | None
) -> Iterator[dict[str, object]]:
    """Encode all pictures in each format, and measure them together: rows of a table."""
    for suffix in (".jpg", ".webp", ".avif"):
        named = [(path, target.with_suffix(suffix)) for path, target in pairs]
        made = [
            each
            for each in encode_pictures(named, PictureOptions(dry_run=True), predictor)
            if isinstance(each, EncodedPicture)
        ]
        misses = np.array([abs(each.vmaf - WANTED) for each in made if each.vmaf is not None])
        yield {
            "format": find_format(named[0][1]).name,
            "encodes per picture": np.mean([each.trials for each in made]),
            "largest miss of VMAF": misses.max(),
            "MB": sum(each.output_bytes for each in made) / 1e6,
        }


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--contents", type=Path, help="file with the names of those to take")
    parser.add_argument("--count", type=int, default=20, help="number of photographs")
    options = parser.parse_args()
    found = find_pictures(options.images, options.contents)
    chosen = [path for path in found if not path.name.startswith("graphic")]
    chosen = chosen[:: max(1, len(chosen) // options.count)][: options.count]
    weights = find_bundled("weights") / "MJLAT-jpeg.h5"
    predictor = Predictor(weights=weights) if weights.is_file() else None
    with temporary_folder() as folder:
        pairs = [(path, folder / f"{path.stem}.jpg") for path in chosen]
        how = PictureOptions(level=LEVELS[0], dry_run=True)
        made = [
            each
            for each in encode_pictures(pairs, how, predictor)
            if isinstance(each, EncodedPicture)
        ]
        rows = [measure_jpeg(each.path, each) for each in Progress(made, "bisection")]
        table = pd.DataFrame(rows)
        sums = table.filter(regex="encodes|kB").sum()
        table = pd.concat([table, pd.DataFrame([{"picture": "all", **sums}])])
        table = table.convert_dtypes().astype(object)
        table = table.where(table.notna(), None)  # which `missingval` stands for
        print(table.to_markdown(index=False, floatfmt=".1f", missingval=""))
        print(
            pd.DataFrame(measure_formats(pairs, predictor)).to_markdown(index=False, floatfmt=".2f")
        )


if __name__ == "__main__":
    main()
