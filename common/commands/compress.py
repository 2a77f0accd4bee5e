"""The command compress: pictures to bitstream files."""

import argparse
import functools

from ..base.constants import AUTO
from ..base.files import make_writable
from ..base.program import program
from ..base.temporary import lock
from .codecs import (
    add_backbone_options,
    add_output_options,
    check_backbone_options,
    find_backbones,
    load_codecs,
    write_all,
)
from .options import Parser, add_options, add_view, path


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command compress to `commands`."""
    start = program("compress")
    parser = commands.add_parser(
        "compress",
        help="write pictures as bitstream files",
        description="Write each picture as a bitstream file, PICTURE.latent: its latents,\n"
        "quantized and range-coded. LAT, E2E-LAT and MJ-LAT can predict from such files. To\n"
        "decompress them, use the same backbones, or those that --model was trained on.",
        epilog=f"examples:\n  {start} --model MJLAT --out coded/ photo.jpg pictures/\n"
        f"  {start} --target JND1 JND2 JND3 --model_weights_path backbones/ "
        "--data_dir data/ --out coded/",
    )
    parser.add_argument("inputs", type=path, nargs="*", metavar="PATH", help="picture, or folder")
    root = "compress ROOT/test/ and copy its levels, so that OUT is a ROOT to test on"
    add_options(parser, "data_dir", data_dir={"required": False, "metavar": "ROOT", "help": root})
    add_backbone_options(parser)
    add_output_options(parser)
    add_view(parser, "centre", "stretched", "own")
    parser.set_defaults(run=run, check=check)


def check(options: argparse.Namespace, parser: Parser) -> None:
    """Exit with code 2 if the options contradict each other."""
    check_backbone_options(options, parser)
    if bool(options.inputs) == bool(options.data_dir):
        parser.error("give either PATHs or --data_dir ROOT")


def run(options: argparse.Namespace) -> int:
    """Compress pictures; return 1 if some could not be compressed."""
    from ..inference import compression, compression_files, runtime

    root, out, overwrite = options.data_dir, options.out, options.overwrite
    files = find_backbones(options)
    make_writable(out)
    with lock(out):
        paths, below = ([root / "test"], out / "test") if root else (options.inputs, out)
        work = compression_files.pair_pictures(paths, below, overwrite)
        labels = compression_files.find_labels(root, out, overwrite) if root else []
        # Use the runtime that predicts from pixels, so that strings give the same levels.
        load = functools.partial(runtime.load_analysis, runtime.choose_runtime(AUTO, "float32"))
        codecs = load_codecs(options, files, load)
        for codec in codecs:
            _ = codec.entropy_model  # raises now if it is missing
        code = write_all(
            options,
            "compressing",
            work,
            lambda file, target: compression.compress_picture(
                codecs, file, target, options.view, overwrite
            ),
        )
        compression_files.copy_labels(labels, overwrite)
    return code
