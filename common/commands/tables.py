"""The command tables: reproduce the paper's tables of errors, their cost, and complexity."""

import argparse
import shlex
from collections.abc import Sequence

from ..base.errors import RERUN_HINT, say
from ..base.files import make_writable
from ..base.program import program
from ..base.temporary import lock
from .options import Parser, add_options, path

_NEEDED = ("data_dir", "model_weights_path", "out")
_FOR_REPORT = ("data_dir", "model_weights_path", "labels", "cache_dir")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command tables to `commands`."""
    start = program("tables")
    parser = commands.add_parser(
        "tables",
        prog=start,
        help="reproduce the paper's tables with your weights and data",
        usage=f"{start} --data_dir ROOT --model_weights_path PATH --out DIR\n"
        "           [--labels PATH] [--cache_dir DIR] [--overwrite] [--quiet]\n"
        f"       {start} --complexity [--out DIR] [--overwrite] [--quiet]",
        description="Measure trained models on ROOT/test/ and write the paper's tables, plots and\n"
        "a page, report.html. Encodes and predictions are cached, so you can continue an\n"
        "interrupted run with the same command.",
        epilog="examples:\n"
        f"  {start} --data_dir data/ --model_weights_path weights/ --out tables/\n"
        f"  {start} --complexity",
    )
    add_options(
        parser,
        "data_dir model_weights_path cache_dir overwrite",
        data_dir={
            "required": False,
            "metavar": "ROOT",
            "help": "dataset root with test/ and its JND-Levels.txt (layout: docs/data.md)",
        },
        model_weights_path={"help": "folder of weight files of any models, or one such file"},
        cache_dir={
            "help": "cache of encodes and predictions, which runs may share "
            "(default: cache/ in --out)"
        },
    )
    add = parser.add_argument
    add("--out", type=path, metavar="DIR", help="folder for the results; made if missing")
    labels = "individual viewers' answers: VideoSet's folder of label CSVs, or MCL-JCI's workbook"
    add("--labels", type=path, metavar="PATH", help=labels)
    complexity = "measure only the complexity of the six models, without data or weights"
    add("--complexity", action="store_true", help=complexity)
    parser.set_defaults(run=run, check=_check, hint=RERUN_HINT)


def _check(options: argparse.Namespace, parser: Parser) -> None:
    if options.complexity:
        if names := [name for name in _FOR_REPORT if getattr(options, name)]:
            parser.error(f"--complexity needs no --{names[0]}")
    elif names := [name for name in _NEEDED if not getattr(options, name)]:
        parser.error(f"--{names[0]} is missing")


def spell_command(words: Sequence[str]) -> str:
    """Spell the command line that makes these tables again, from its words."""
    arguments = [*words]
    arguments.remove("tables")  # the first one; --quiet may precede it
    return shlex.join([*program("tables").split(), *arguments])


def run(options: argparse.Namespace) -> None:
    """Make the requested tables."""
    command = spell_command(options.words)
    (_complexity if options.complexity else _report)(options, command)


def _report(options: argparse.Namespace, command: str) -> None:
    from ..data.split import read_split, read_train_split
    from ..evaluation.report import candidates, viewers

    split = read_split(options.data_dir, "test", levels_needed=True)
    train = read_train_split(options.data_dir)
    split.codec.version()  # raises without an encoder or VMAF
    found = candidates.find_candidates(options.model_weights_path)
    answers = viewers.read_viewers(options.labels, split) if options.labels else None
    cache = options.cache_dir or options.out / "cache"
    for folder in (options.out, cache):
        make_writable(folder)
    from ..evaluation.report import build  # loads TensorFlow

    with lock(options.out):
        how = options.out, cache, command, options.overwrite
        errors = build.build_report(split, train, found, answers, *how)
    print(build.markdown(errors))
    say(f"tables: {options.out / build.TABLES}")
    say(f"page: {options.out / build.PAGE}")


def _complexity(options: argparse.Namespace, command: str) -> None:
    from ..evaluation.report import build

    if not options.out:
        print(build.markdown(build.measure_complexity()))
        return
    build.check_results(options.out, build.RESULTS, options.overwrite)
    with lock(options.out):
        table = build.measure_complexity()
        print(build.markdown(table))
        build.write_tables([table], options.out, command, options.overwrite)
