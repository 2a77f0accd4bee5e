"""The command decompress: bitstream files to pictures."""

import argparse

from ..base.files import make_writable
from ..base.program import program
from ..base.temporary import lock
from .codecs import TARGETS, add_output_options, find_backbones, load_codecs, write_all
from .options import add_options, path


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command decompress to `commands`."""
    parser = commands.add_parser(
        "decompress",
        help="reconstruct pictures from bitstream files",
        description="Reconstruct a PNG from each bitstream file. The picture must have been\n"
        "compressed by the same backbone, or by a model that was trained on this backbone.",
        epilog=f"example:\n  {program('decompress')} --target JND1 --model_weights_path backbones/ "
        "--out decoded/ coded/",
    )
    add = parser.add_argument
    add("inputs", type=path, nargs="+", metavar="PATH", help="bitstream file, or folder of these")
    add("--target", choices=TARGETS, nargs=1, required=True, help="what the backbone reconstructs")
    weights = "weight file, or folder with ImgReconstruction.h5 or JNDkReconstruction.h5"
    changed = {"required": True, "help": weights}
    add_options(parser, "model_weights_path", model_weights_path=changed)
    add_output_options(parser)
    parser.set_defaults(run=run, model=None)


def run(options: argparse.Namespace) -> int:
    """Decompress bitstream files; return 1 if some could not be decompressed."""
    from ..inference import compression, compression_files

    files = find_backbones(options)
    make_writable(options.out)
    with lock(options.out):
        work = compression_files.pair_bitstreams(options.inputs, options.out, options.overwrite)
        (codec,) = load_codecs(options, files)
        return write_all(
            options,
            "decompressing",
            work,
            lambda file, out: compression.decompress_picture(codec, file, out, options.overwrite),
        )
