"""Make a weight file small enough to pass on."""

import argparse
import contextlib
from pathlib import Path

from ..base.constants import ENTROPY_SUFFIX, LEVELS
from ..base.errors import UserError, say
from ..base.files import check_writable
from ..base.program import program
from ..base.temporary import lock
from ..models.descriptions import MODELS
from ..models.weight_paths import entropy_file
from .options import add_options, path


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Give `commands` the command compact."""
    start = program("compact")
    parser = commands.add_parser(
        "compact",
        prog=start,
        help="make a weight file small enough to pass on",
        description="Write a weight file again in about a quarter of its size: large kernels are\n"
        "rounded, all is compressed. It stays a weight file that plain Keras reads.",
        epilog=f"example:\n  {start} checkpoints/BestModel.h5 weights/MJLAT.h5",
    )
    parser.add_argument("weights", type=path, metavar="WEIGHTS", help="the file to read")
    parser.add_argument("out", type=path, metavar="OUT", help="the file to write")
    add_options(parser, "overwrite", overwrite={"help": "replace OUT and its entropy models"})
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Compact a weight file and copy the entropy models beside it."""
    source, target, overwrite = options.weights, options.out, options.overwrite
    priors = _priors_beside(source)
    inputs = [source, *priors]
    for written in [target, *(_copy_path(prior, source, target) for prior in priors)]:
        check_writable(written, overwrite=overwrite, inputs=inputs)
    from ..models.compact import compact

    with lock(target):
        compact(source, target, overwrite)
        if priors:
            _copy_priors(source, target, overwrite)
    before, after = (path.stat().st_size / 1e6 for path in (source, target))
    say(f"{target}: {after:.1f} MB, was {before:.1f} MB")


def _priors_beside(weights: Path) -> list[Path]:
    """Find the entropy models beside a weight file, whichever model it belongs to."""
    paths = (
        weights.with_suffix(f"{of}{ENTROPY_SUFFIX}") for of in ("", *(f".{n}" for n in LEVELS))
    )
    return [path for path in paths if path.exists()]


def _copy_path(prior: Path, source: Path, target: Path) -> Path:
    return target.with_name(target.stem + prior.name.removeprefix(source.stem))


def _copy_priors(source: Path, target: Path, overwrite: bool) -> None:
    """Copy the entropy models beside `source`, as those of the rounded backbones of `target`."""
    from ..codec.entropy_model import copy_entropy_model
    from ..models import build, weights

    for description in (each for each in MODELS.values() if each.sees == "latent"):
        model = build.build_model(description)
        with contextlib.suppress(UserError):  # it is another one's
            weights.read_weights(model.whole, target)
            for level, own in zip(LEVELS if description.multitask else [None], model.backbones):
                copied = entropy_file(target, level)
                copy_entropy_model(entropy_file(source, level), own.analysis, copied, overwrite)
