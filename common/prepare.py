"""Make the folder that the models read, from VideoSet, MCL-JCI or any pictures; and check one."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from common.console import Parser, positive
from common.errors import UserError, reported
from common.facts import HEIGHT, WIDTH

COMMAND = "common.prepare"
LISTED = 10  # lines of one kind before the rest is only counted

EXAMPLES = {
    "videoset": (
        "VideoSet's streams and raw labels -> ROOT",
        "python3 -m common.prepare videoset --videos VideoSet/ --labels labels/ --size 640x360 "
        "--out data/",
    ),
    "mcl-jci": (
        "MCL-JCI's pictures and samples -> ROOT",
        "python3 -m common.prepare mcl-jci --images MCL-JCI/ --samples MCL-JCI_JND_samples.xlsx "
        "--out data/",
    ),
    "photos": (
        "any pictures or videos -> ROOT, with levels that no viewer gave",
        "python3 -m common.prepare photos --images pictures/ --crops 3 --out data/",
    ),
    "check": (
        "what is in a ROOT, and what is wrong with it",
        "python3 -m common.prepare check data/",
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit code is 0, or 1 where `check` found errors."""
    arguments = _parser().parse_args(argv)
    with reported(f"{COMMAND} {arguments.command}"):
        return check(arguments) if arguments.command == "check" else make(arguments)


def make(arguments: argparse.Namespace) -> int:
    """Make a folder and say what is in it."""
    from common.data.manifest import provenance
    from common.datasets import mcl_jci, photos, videoset
    from common.datasets.contact_sheet import CONTACT_SHEET
    from common.datasets.preparation import prepare

    test_contents = _names(arguments.test_contents)
    if arguments.command == "videoset":
        dataset = videoset.dataset(
            arguments.videos,
            arguments.labels,
            arguments.size,
            arguments.label_size,
            arguments.statistic,
            arguments.frames,
        )
    elif arguments.command == "mcl-jci":
        dataset = mcl_jci.dataset(arguments.images, arguments.samples, arguments.statistic)
    else:
        dataset = photos.dataset(
            arguments.images,
            arguments.crops,
            arguments.least_width,
            arguments.vmaf,
            arguments.seed,
            arguments.keep_size,
        )
    summary = prepare(
        dataset,
        arguments.out,
        arguments.split,
        arguments.seed,
        test_contents,
        arguments.keep_size,
    )
    _say("note", summary.notes)
    about = provenance(arguments.out)
    means = ", ".join(f"{level:.1f}" for level in summary.mean_levels)
    counts = ", ".join(f"{split} {count}" for split, count in summary.frames.items())
    print(f"{arguments.out}: {sum(summary.frames.values())} frames ({counts})")
    print(f"mean levels ({about.codec}): {means}; {about.caption}")
    print(f"look at {arguments.out / CONTACT_SHEET}")
    print(f"next: python3 -m {COMMAND} check {arguments.out}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Say what is in a folder; 1 where something is wrong with it."""
    from common.datasets.checking import check

    report = check(arguments.root)
    print("\n".join(report.there))
    _say("warning", report.warnings)
    _say("error", report.errors)
    print(f"{arguments.root}: {len(report.errors)} errors, {len(report.warnings)} warnings")
    return 1 if report.errors else 0


def _say(kind: str, lines: list[str]) -> None:
    sys.stdout.flush()
    for line in lines[:LISTED]:
        print(f"{kind}: {line}", file=sys.stderr)
    if len(lines) > LISTED:
        print(f"{kind}: ... and {len(lines) - LISTED} more", file=sys.stderr)


def _names(path: Path | None) -> list[str]:
    """Names of contents, one a line."""
    if path is None:
        return []
    try:
        return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        raise UserError(f"{path}: no such text file; it lists contents, one a line") from None


def _parser() -> Parser:
    parser = Parser(
        prog=f"python3 -m {COMMAND}",
        description=__doc__,
        epilog="examples:\n" + "\n".join(f"  {example}" for _, example in EXAMPLES.values()),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = {
        name: commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"example:\n  {example}",
        ).add_argument
        for name, (summary, example) in EXAMPLES.items()
    }
    add["check"]("root", type=Path, metavar="ROOT", help="the folder to look at")
    del add["check"]

    add["videoset"]("--videos", type=Path, required=True, help="folder of videoSRC*.264 streams")
    add["videoset"](
        "--labels", type=Path, required=True, help="folder of videoset_SIZE_{1st,2nd,3rd}.csv"
    )
    add["videoset"]("--size", type=_size, required=True, help="of the streams, as 640x360")
    add["videoset"]("--label_size", type=_size, help="of the labels (default: --size)")
    add["videoset"](
        "--frames",
        type=_frames,
        help="numbers, as 0,30,60 (default: first of each second)",
    )
    add["mcl-jci"]("--images", type=Path, required=True, help="folder of ImageJND_SRC*.bmp")
    add["mcl-jci"]("--samples", type=Path, required=True, help="MCL-JCI_JND_samples.xlsx")
    for name in ("videoset", "mcl-jci"):
        add[name](
            "--statistic",
            choices=("sur75", "median", "mean"),
            default="sur75",
            help="of the viewers' samples; sur75: 75 %% see no change yet",
        )
    add["photos"]("--images", type=Path, required=True, help="folder of pictures or videos")
    add["photos"]("--crops", type=positive, default=1, help="cut-outs of each picture")
    add["photos"](
        "--least_width",
        type=positive,
        default=WIDTH,
        metavar="PIXELS",
        help=f"of a cut-out; those under {WIDTH} are enlarged, which makes smoother frames",
    )
    add["photos"](
        "--vmaf",
        type=_thresholds,
        default="94.5,91.25,87",
        help="the levels are the lowest QPs with VMAF below these",
    )
    for argument in add.values():
        argument("--out", type=Path, required=True, metavar="ROOT", help="the folder to make")
        argument(
            "--split",
            type=_shares,
            default="80/10/10",
            help="train/valid/test shares of the contents",
        )
        argument(
            "--test_contents",
            type=Path,
            metavar="FILE",
            help="names of contents, one a line, that go to test; the rest goes to train and valid",
        )
        argument("--seed", type=int, default=0, help="of the split and of cut-outs")
        argument("--keep_size", action="store_true", help=f"do not resize to {WIDTH}x{HEIGHT}")
    return parser


def _size(text: str) -> str:
    if not re.fullmatch(r"\d+x\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 640x360")
    return text


def _frames(text: str) -> list[int]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not frame numbers such as 0,30,60")
    return sorted({int(number) for number in text.split(",")})


def _thresholds(text: str) -> list[float]:
    values = _numbers(text, ",")
    if len(values) != 3 or not 100 > values[0] > values[1] > values[2] > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not three falling VMAF, as 94.5,91.25,87")
    return values


def _shares(text: str) -> list[float]:
    shares = _numbers(text, "/")
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 100) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r} is not three shares of 100, as 80/10/10")
    return shares


def _numbers(text: str, separator: str) -> list[float]:
    """Numbers in a text; none where it is not that."""
    try:
        return [float(word) for word in text.split(separator)]
    except ValueError:
        return []


if __name__ == "__main__":
    sys.exit(main())
