"""Reproduce the paper's tables: errors, what they cost in quality and bits, and complexity."""

import argparse
import contextlib
import shlex

from ..base.errors import RERUN_HINT, say
from ..base.files import make_writable
from ..base.temporary import lock
from .options import Parser, add_options, path, program

_OF_DATA = ("data_dir", "model_weights_path", "labels", "cache_dir")


def run(options: argparse.Namespace) -> None:
    """Write the tables that the options ask for."""
    command = shlex.join([*program("tables").split(), *options.arguments])
    (_complexity if options.complexity else _report)(options, command)


def _check(options: argparse.Namespace, parser: Parser) -> None:
    if options.complexity:
        for name in _OF_DATA:
            if getattr(options, name):
                parser.error(f"--complexity needs no --{name}")
    else:
        for name in (*_OF_DATA[:2], "out"):
            if not getattr(options, name):
                parser.error(f"--{name} is missing")


def _report(options: argparse.Namespace, command: str) -> None:
    from ..data.split import read_split, read_train_split
    from ..evaluation.report.candidates import find_candidates
    from ..evaluation.report.viewers import read_viewers

    split = read_split(options.data_dir, "test", levels_needed=True)
    train = read_train_split(options.data_dir)
    split.codec.version()  # says where there is no encoder or no VMAF
    candidates = find_candidates(options.model_weights_path)
    viewers = read_viewers(options.labels, split) if options.labels else None
    cache = options.cache_dir or options.out / "cache"
    for folder in (options.out, cache):
        make_writable(folder)
    from ..evaluation.report.build import PAGE, TABLES, build_report
    from ..evaluation.report.table import markdown

    with lock(options.out):
        how = options.out, cache, command, options.overwrite
        errors = build_report(split, train, candidates, viewers, *how)
    print(markdown(errors))
    say(f"tables: {options.out / TABLES}")
    say(f"look at {options.out / PAGE}")


def _complexity(options: argparse.Namespace, command: str) -> None:
    from ..evaluation.report.build import RESULTS, measure_complexity, write_tables
    from ..evaluation.report.table import markdown
    from ..evaluation.results import check_results

    with contextlib.ExitStack() as stack:
        if options.out:
            check_results(options.out, RESULTS, options.overwrite)
            stack.enter_context(lock(options.out))
        table = measure_complexity()
        print(markdown(table))
        if options.out:
            write_tables([table], options.out, command, options.overwrite)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Give `commands` the command tables."""
    start = program("tables")
    parser = commands.add_parser(
        "tables",
        prog=start,
        help="reproduce the paper's tables with your weights and data",
        description="Measure trained models on ROOT/test/ and write the paper's tables, plots and\n"
        "a page to look at, report.html. Encodes and predictions are kept, so that the\n"
        "same command takes an interrupted run up where it was.",
        epilog="examples:\n"
        f"  {start} --data_dir data/ --model_weights_path weights/ --out tables/\n"
        f"  {start} --complexity",
    )
    labels = "viewers' raw answers: VideoSet's folder of label CSVs, or MCL-JCI's workbook"
    cache = "for encodes and predictions; may be shared (default: cache/ in --out)"
    root = {"metavar": "ROOT", "help": "folder with test/ and its JND-Levels.txt"}
    weights = "folder of weight files, of any of the six models, or one such file"
    add_options(
        parser,
        "data_dir model_weights_path cache_dir overwrite",
        data_dir={"required": False, **root},
        model_weights_path={"help": weights},
        cache_dir={"help": cache},
    )
    add = parser.add_argument
    add("--out", type=path, metavar="DIR", help="folder to write to")
    add("--labels", type=path, metavar="PATH", help=labels)
    alone = "only what the six models cost; needs no data and no weights"
    add("--complexity", action="store_true", help=alone)
    parser.set_defaults(run=run, check=_check, hint=RERUN_HINT)
