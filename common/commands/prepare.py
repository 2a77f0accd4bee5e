"""Make a dataset root from VideoSet, MCL-JCI or any pictures and videos, or check one."""

import argparse
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..base.constants import CODEC_NAMES, HEIGHT, SPLITS, STATISTICS, WIDTH
from ..base.errors import RERUN_HINT, say
from ..base.program import program
from ..models.labels import DEFAULT_THRESHOLDS
from .options import path, positive, seed

LISTED = 10  # number of messages of a kind to print; the rest is only counted
if TYPE_CHECKING:
    from ..datasets.contents import Dataset

CROP, WHOLE = "crop", "whole"
LEAST_WIDTH = 32  # in pixels, of a labelled picture
Add = Callable[..., Any]  # a parser's `add_argument`


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command prepare, which has subcommands, to `commands`."""
    name = program("prepare")
    examples = {command: f"  {name} {command} {words}" for command, words in _EXAMPLES.items()}
    parser = commands.add_parser(
        "prepare",
        prog=name,
        help="make a dataset from VideoSet, MCL-JCI or any pictures, or check one",
        description=__doc__,
        epilog="\n".join(["examples:", *examples.values()]),
    )
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command, (add_options, summary) in _COMMANDS.items():
        subparser = subcommands.add_parser(
            command, help=summary, description=summary, epilog=f"example:\n{examples[command]}"
        )
        subparser.set_defaults(run=run, hint=RERUN_HINT)
        add_options(subparser.add_argument)
    subcommands.choices["check"].set_defaults(run=run_check, hint="")


def run(options: argparse.Namespace) -> None:
    """Make a dataset root, and summarize it."""
    from ..datasets import preparation, splitting

    if options.scheduler:  # workers have other working directories
        for name in {"out", "images", "videos"} & vars(options).keys():
            setattr(options, name, getattr(options, name).absolute())
    prepared = preparation.prepare(
        _collect(options),
        options.out,
        division=splitting.read_division(
            options.split, options.seed, options.test_contents, options.valid_contents
        ),
        keep_size=options.keep_size,
        scheduler=options.scheduler,
    )
    _report("note", prepared.notes)
    counts = ", ".join(f"{split} {count}" for split, count in prepared.counts.items())
    means = ", ".join(f"{mean:.1f}" for mean in prepared.levels.mean(axis=0))
    say(f"{options.out}: {len(prepared.levels)} frames ({counts})")
    say(f"mean levels ({prepared.labels.codec}): {means}; {prepared.labels.describe()}")
    say(f"look at {prepared.contact_sheet}")
    say(f"next: {program('prepare')} check {options.out}")


def _collect(options: argparse.Namespace) -> "Dataset":
    from ..datasets import crops, labelling, mcl_jci, photos, videoset

    match options.command:
        case "videoset":
            return videoset.collect(
                options.videos,
                options.labels,
                size=options.size,
                label_size=options.label_size,
                statistic=options.statistic,
                frames=options.frames,
            )
        case "mcl-jci":
            return mcl_jci.collect(options.images, options.samples, options.statistic)
        case "photos":
            codec = CODEC_NAMES[options.codec]
            return photos.collect(
                options.images,
                framing=crops.Framing(
                    frames=options.crops,
                    least_width=options.least_width,
                    widths=options.widths if options.labels_of == WHOLE else (),
                    keep_size=options.keep_size,
                ),
                labelling=labelling.Labelling(
                    codec=codec,
                    thresholds=options.vmaf or [*DEFAULT_THRESHOLDS[codec]],
                    whole=options.whole_qp or options.labels_of == CROP,
                ),
                seed=options.seed,
                vary=options.vary,
                vary_splits=options.vary_splits,
            )
    raise ValueError(f"{options.command} makes no dataset")


def run_check(options: argparse.Namespace) -> int:
    """Report the content and the errors of a dataset root; return 1 if there are errors."""
    from ..datasets.checking import check

    report = check(options.root)
    for line in report.there:
        say(line)
    _report("warning", report.warnings)
    _report("error", report.errors)
    kinds = ((report.errors, "error"), (report.warnings, "warning"))
    counts = ", ".join(f"{len(lines)} {kind}{'s' * (len(lines) != 1)}" for lines, kind in kinds)
    say(f"{options.root}: {counts}")
    return 1 if report.errors else 0


def _report(kind: str, lines: list[str]) -> None:
    sys.stdout.flush()
    for line in lines[:LISTED]:
        say(f"{kind}: {line}", file=sys.stderr)
    if len(lines) > LISTED:
        print(f"{kind}: ... and {len(lines) - LISTED} more", file=sys.stderr)


def _add_videoset(add: Add) -> None:
    add("--videos", type=path, required=True, help="folder of videoSRC*.264 streams")
    add("--labels", type=path, required=True, help="folder of videoset_SIZE_{1st,2nd,3rd}.csv")
    add("--size", type=_size, required=True, help="frame size of the streams, as 640x360")
    add("--label_size", type=_size, help="frame size of the labels (default: --size)")
    numbers = "frame numbers, as 0,30,60 (default: the first of each second)"
    add("--frames", type=_whole_numbers, help=numbers)
    _add_statistic(add)
    _add_common(add)


def _add_mcl_jci(add: Add) -> None:
    add("--images", type=path, required=True, help="folder of ImageJND_SRC*.bmp")
    add("--samples", type=path, required=True, help="MCL-JCI_JND_samples.xlsx")
    _add_statistic(add)
    _add_common(add)


def _add_photos(add: Add) -> None:
    add("--images", type=path, required=True, help="folder of pictures or videos")
    labelled = "what is labelled: each crop by itself, or the whole picture that it shows"
    add("--labels_of", choices=(CROP, WHOLE), default=CROP, help=labelled)
    number = "frames per picture: crops or, with --labels_of whole, views at each width: all of it "
    number += "stretched, the centre, random crops"
    add("--crops", type=positive, default=1, metavar="N", help=number)
    sizes = "with --labels_of whole, the widths at which a picture is labelled, if it has them"
    add("--widths", type=_widths, default="640,1280", metavar="PIXELS", help=sizes)
    whole = "with --labels_of whole, label with whole QPs or qualities, not interpolated ones"
    add("--whole_qp", action="store_true", help=whole)
    narrow = f"minimum width of a crop; crops narrower than {WIDTH} are enlarged, which blurs them"
    add("--least_width", type=positive, default=WIDTH, metavar="PIXELS", help=narrow)
    copies = "augmented copies per crop, with random changes of blur, noise, contrast, etc."
    add("--vary", type=_natural, default=0, metavar="N", help=copies)
    receive = "splits that receive the augmented copies, e.g. train,valid"
    add("--vary_splits", type=_splits, default="train", metavar="SPLITS", help=receive)
    kind = "what the levels are: QPs of H.264, or quality factors of JPEG"
    add("--codec", choices=CODEC_NAMES, default="h264", help=kind)
    finest = "each level is the lowest QP or the highest quality at which VMAF falls below the "
    texts = (",".join(f"{each:g}" for each in numbers) for numbers in DEFAULT_THRESHOLDS.values())
    finest += f"threshold (default: {'; for jpeg: '.join(texts)})"
    add("--vmaf", type=_thresholds, metavar="THRESHOLDS", help=finest)
    _add_common(add)


def _add_check(add: Add) -> None:
    add("root", type=path, metavar="ROOT", help="dataset root to check")


def _add_statistic(add: Add) -> None:
    choose = "statistic of the viewers' samples; at sur75, 75 %% of viewers see no change"
    add("--statistic", choices=STATISTICS, default=STATISTICS[0], help=choose)


def _add_common(add: Add) -> None:
    add("--out", type=path, required=True, metavar="ROOT", help="dataset root to make")
    shares = f"{'/'.join(SPLITS)} shares of the contents"
    add("--split", type=_shares, default="80/10/10", metavar="SHARES", help=shares)
    names = "file with the names of the contents for the test split, one per line"
    add("--test_contents", type=path, metavar="FILE", help=names)
    add("--valid_contents", type=path, metavar="FILE", help="the same for the valid split")
    add("--seed", type=seed, default=0, metavar="N", help="random seed of the split and the crops")
    cluster = "Dask scheduler, as tcp://HOST:PORT, whose workers make the frames"
    add("--scheduler", metavar="ADDRESS", help=cluster)
    add("--keep_size", action="store_true", help=f"do not resize to {WIDTH}x{HEIGHT}")


_COMMANDS: dict[str, tuple[Callable[[Add], None], str]] = {
    "videoset": (_add_videoset, "make a dataset root from VideoSet's streams and raw labels"),
    "mcl-jci": (_add_mcl_jci, "make a dataset root from MCL-JCI's pictures and samples"),
    "photos": (_add_photos, "make a dataset root with proxy labels (VMAF) from any pictures"),
    "check": (_add_check, "report the content of a dataset root, and any errors in it"),
}
_EXAMPLES = {
    "videoset": "--videos VideoSet/ --labels labels/ --size 640x360 --out data/",
    "mcl-jci": "--images MCL-JCI/ --samples MCL-JCI_JND_samples.xlsx --out data/",
    "photos": "--images pictures/ --crops 3 --out data/",
    "check": "data/",
}


def _size(text: str) -> str:
    if not re.fullmatch(r"\d+x\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 640x360")
    return text


def _whole_numbers(text: str) -> list[int]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not whole numbers such as 0,30,60")
    return sorted({int(number) for number in text.split(",")})


def _widths(text: str) -> list[int]:
    if min(widths := _whole_numbers(text)) < LEAST_WIDTH:
        message = f"{text!r} has a width below {LEAST_WIDTH} pixels, too small for VMAF"
        raise argparse.ArgumentTypeError(message)
    return widths


def _natural(text: str) -> int:
    return 0 if text == "0" else positive(text)


def _splits(text: str) -> list[str]:
    splits = text.split(",")
    if not {*splits} <= {*SPLITS}:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of splits such as train,valid")
    return splits


def _thresholds(text: str) -> list[float]:
    values = _numbers(text, ",")
    if len(values) != 3 or not 100 > values[0] > values[1] > values[2] > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not three falling values of VMAF")
    return values


def _shares(text: str) -> list[float]:
    shares = _numbers(text, "/")
    if len(shares) != 3 or min(shares) < 0 or not abs(sum(shares) - 100) < 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r} is not three percentages that add up to 100")
    return shares


def _numbers(text: str, separator: str) -> list[float]:
    """Parse numbers; return an empty list if `text` is something else."""
    try:
        return [float(word) for word in text.split(separator)]
    except ValueError:
        return []
