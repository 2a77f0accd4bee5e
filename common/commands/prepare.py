"""Make the folder that the models read, from VideoSet, MCL-JCI or any pictures; and check one."""

import argparse
import re
import statistics
import sys
from collections.abc import Callable
from typing import Any

from ..base.constants import HEIGHT, SPLITS, WIDTH
from ..base.errors import RERUN_HINT, say
from .options import path, positive, program, seed

LISTED = 10  # lines of one kind before the rest is only counted

# What each command makes of what, and an example of its arguments.
COMMANDS = {
    "videoset": (
        "VideoSet's streams and raw labels -> ROOT",
        "--videos VideoSet/ --labels labels/ --size 640x360 --out data/",
    ),
    "mcl-jci": (
        "MCL-JCI's pictures and samples -> ROOT",
        "--images MCL-JCI/ --samples MCL-JCI_JND_samples.xlsx --out data/",
    ),
    "photos": (
        "any pictures or videos -> ROOT, with levels that no viewer gave",
        "--images pictures/ --crops 3 --out data/",
    ),
    "check": ("what is in a ROOT, and what is wrong with it", "data/"),
}


def make(given: argparse.Namespace) -> int:
    """Make a folder and say what is in it."""
    from ..data.manifest import read_labels, read_manifest
    from ..data.side_by_side import CONTACT_SHEET
    from ..data.text import read_text
    from ..datasets import mcl_jci, photos, videoset
    from ..datasets.preparation import prepare

    if given.scheduler:  # workers have working directories of their own
        for name in {"out", "images", "videos"} & vars(given).keys():
            setattr(given, name, getattr(given, name).absolute())
    names = given.test_contents and read_text(
        given.test_contents, "names of contents, one per line"
    )
    test_contents = [name.strip() for name in (names or "").splitlines() if name.strip()]
    if given.command == "videoset":
        what = given.videos, given.labels, given.size, given.label_size
        dataset = videoset.dataset(*what, given.statistic, given.frames)
    elif given.command == "mcl-jci":
        dataset = mcl_jci.dataset(given.images, given.samples, given.statistic)
    else:
        cuts = given.crops, given.least_width, given.vmaf, given.seed, given.keep_size
        dataset = photos.dataset(given.images, *cuts, given.vary, given.vary_splits)
    how = given.split, given.seed, test_contents, given.keep_size, given.scheduler
    notes = prepare(dataset, given.out, *how)
    _say("note", notes)
    about, rows = read_labels(given.out), read_manifest(given.out)
    count = [row["split"] for row in rows].count
    counts = ", ".join(f"{split} {count(split)}" for split in SPLITS)
    levels = ([float(row[f"jnd{order}"]) for row in rows] for order in (1, 2, 3))
    means = ", ".join(f"{statistics.fmean(level):.1f}" for level in levels)
    say(f"{given.out}: {len(rows)} frames ({counts})")
    say(f"mean levels ({about.codec}): {means}; {about.describe()}")
    say(f"look at {given.out / CONTACT_SHEET}")
    say(f"next: {program('prepare')} check {given.out}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Say what is in a folder; 1 where something is wrong with it."""
    from ..datasets.checking import check

    report = check(arguments.root)
    for line in report.there:
        say(line)
    _say("warning", report.warnings)
    _say("error", report.errors)
    kinds = ((report.errors, "error"), (report.warnings, "warning"))
    counts = ", ".join(f"{len(lines)} {kind}{'s' * (len(lines) != 1)}" for lines, kind in kinds)
    say(f"{arguments.root}: {counts}")
    return 1 if report.errors else 0


def _say(kind: str, lines: list[str]) -> None:
    sys.stdout.flush()
    for line in lines[:LISTED]:
        say(f"{kind}: {line}", file=sys.stderr)
    if len(lines) > LISTED:
        print(f"{kind}: ... and {len(lines) - LISTED} more", file=sys.stderr)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Give `commands` the command prepare, with subcommands of its own."""
    examples = {
        name: f"  {program('prepare')} {name} {arguments}"
        for name, (_, arguments) in COMMANDS.items()
    }
    parser = commands.add_parser(
        "prepare",
        prog=program("prepare"),
        help="make a dataset from VideoSet, MCL-JCI or any pictures, or check one",
        description=__doc__,
        epilog="\n".join(["examples:", *examples.values()]),
    )
    _add_subcommands(parser, examples)


def _add_subcommands(parser: argparse.ArgumentParser, examples: dict[str, str]) -> None:
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, *parents: Any) -> Callable:
        summary = COMMANDS[name][0]
        help_text: dict[str, Any] = {
            "help": summary,
            "description": summary,
            "epilog": f"example:\n{examples[name]}",
        }
        parser = subcommands.add_parser(name, parents=parents, **help_text)
        if name == "check":
            parser.set_defaults(run=check)
        else:
            parser.set_defaults(run=make, hint=RERUN_HINT)
        return parser.add_argument

    of_all, of_viewers = _of_all(), argparse.ArgumentParser(add_help=False)
    help_text = "of the viewers' samples; sur75: 75 %% see no change yet"
    choices = ("sur75", "median", "mean")
    of_viewers.add_argument("--statistic", choices=choices, default="sur75", help=help_text)

    add = command("videoset", of_viewers, of_all)
    add("--videos", type=path, required=True, help="folder of videoSRC*.264 streams")
    add("--labels", type=path, required=True, help="folder of videoset_SIZE_{1st,2nd,3rd}.csv")
    add("--size", type=_size, required=True, help="of the streams, as 640x360")
    add("--label_size", type=_size, help="of the labels (default: --size)")
    add("--frames", type=_frames, help="numbers, as 0,30,60 (default: first of each second)")

    add = command("mcl-jci", of_viewers, of_all)
    add("--images", type=path, required=True, help="folder of ImageJND_SRC*.bmp")
    add("--samples", type=path, required=True, help="MCL-JCI_JND_samples.xlsx")

    add = command("photos", of_all)
    add("--images", type=path, required=True, help="folder of pictures or videos")
    add("--crops", type=positive, default=1, help="cut-outs of each picture")
    narrow = f"of a cut-out; those under {WIDTH} are enlarged, which makes smoother frames"
    add("--least_width", type=positive, default=WIDTH, metavar="PIXELS", help=narrow)
    vary = "more frames of each cut-out, changed at random in blur, noise, contrast and the like"
    add("--vary", type=_natural, default=0, metavar="N", help=vary)
    add("--vary_splits", type=_splits, default="train", help="that get them, as train,valid")
    lowest = "the levels are the lowest QPs with VMAF below these"
    add("--vmaf", type=_thresholds, default="94.5,91.25,87", help=lowest)

    command("check")("root", type=path, metavar="ROOT", help="the folder to look at")


def _of_all() -> argparse.ArgumentParser:
    """The options of every command that makes a folder."""
    parser = argparse.ArgumentParser(add_help=False)
    add = parser.add_argument
    add("--out", type=path, required=True, metavar="ROOT", help="the folder to make")
    shares = "train/valid/test shares of the contents"
    add("--split", type=_shares, default="80/10/10", help=shares)
    names = "names of contents, one per line, that go to test; the rest goes to train and valid"
    add("--test_contents", type=path, metavar="FILE", help=names)
    add("--seed", type=seed, default=0, help="of the split and of cut-outs")
    cluster = "of a Dask cluster, as tcp://HOST:PORT, whose workers make the frames"
    add("--scheduler", metavar="ADDRESS", help=cluster)
    add("--keep_size", action="store_true", help=f"do not resize to {WIDTH}x{HEIGHT}")
    return parser


def _size(text: str) -> str:
    if not re.fullmatch(r"\d+x\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 640x360")
    return text


def _frames(text: str) -> list[int]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not frame numbers such as 0,30,60")
    return sorted({int(number) for number in text.split(",")})


def _natural(text: str) -> int:
    return 0 if text == "0" else positive(text)


def _splits(text: str) -> list[str]:
    splits = text.split(",")
    if not set(splits) <= {"train", "valid", "test"}:
        raise argparse.ArgumentTypeError(f"{text!r} is not some of train,valid,test")
    return splits


def _thresholds(text: str) -> list[float]:
    values = _numbers(text, ",")
    if len(values) != 3 or not 100 > values[0] > values[1] > values[2] > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not three falling VMAF, as 94.5,91.25,87")
    return values


def _shares(text: str) -> list[float]:
    shares = _numbers(text, "/")
    if len(shares) != 3 or min(shares) < 0 or not abs(sum(shares) - 100) < 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r} is not three shares of 100, as 80/10/10")
    return shares


def _numbers(text: str, separator: str) -> list[float]:
    """Numbers in a text; none where it is not that."""
    try:
        return [float(word) for word in text.split(separator)]
    except ValueError:
        return []
