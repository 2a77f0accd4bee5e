"""The commands of the backbones for anyone's pictures: prior, compress and decompress."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..base.constants import LEVELS
from ..base.errors import say
from ..base.files import make_writable
from ..base.temporary import lock
from ..models.descriptions import MODELS, Description
from .options import Parser, add_options, bundled, path, program

IMAGE = "Img"
TARGETS = (IMAGE, *LEVELS)
_SEE_LATENTS = [name for name, model in MODELS.items() if model.sees == "latent"]


class _Backbones(NamedTuple):
    """Which weights are meant: the arguments of `read_sources`."""

    description: Description | None
    files: list[Path]
    targets: Sequence[str]


def check(options: argparse.Namespace, parser: Parser) -> None:
    """Exit with 2 where options do not fit together."""
    model = getattr(options, "model", None)
    multitask = model and MODELS[model].multitask
    if multitask and options.target:
        parser.error(f"--model {model} codes for all three levels: leave out --target")
    if not multitask and not options.target:
        parser.error("--target is missing: Img, JND1, JND2 or JND3")
    if model and not multitask and (len(options.target) > 1 or options.target == [IMAGE]):
        parser.error(f"--model {model} needs one --target: JND1, JND2 or JND3")
    if {"inputs", "data_dir"} <= vars(options).keys() and bool(options.inputs) == bool(
        options.data_dir
    ):
        parser.error("either PATHs or --data_dir ROOT is needed")


def prior(options: argparse.Namespace) -> None:
    """Train entropy models for backbones that have none."""
    from ..data.listing import list_images

    images, backbones = list_images(options.data_dir / "train"), _find(options)
    for file in backbones.files:
        make_writable(file.parent)
    from ..codec.sources import read_sources
    from ..training.prior import train_prior

    for source in read_sources(*backbones):
        if source.entropy.exists():
            say(f"{source.entropy}: already exists")
            continue
        bits = train_prior(source.backbone, images, options.seed, source.entropy)
        say(f"{source.entropy}: {bits:.4f} bits per pixel of the frames it was trained on")


def compress(options: argparse.Namespace) -> int:
    """Write pictures as coded pictures; 1 where some could not be read."""
    from ..inference.compression_files import copy_labels, labels_to_copy, to_compress

    root, out, overwrite = options.data_dir, options.out, options.overwrite
    backbones = _find(options)
    make_writable(out)
    with lock(out):
        paths, below = ([root / "test"], out / "test") if root else (options.inputs, out)
        inputs, errors = to_compress(paths, below, overwrite)
        labels = labels_to_copy(root, out, overwrite) if root else []
        from ..codec.sources import read_sources
        from ..inference.compression import compress

        done, unread = compress(read_sources(*backbones), inputs, options.view, overwrite)
        copy_labels(labels, overwrite)
    return _print(options, "pictures", done, [*errors, *unread])


def decompress(options: argparse.Namespace) -> int:
    """Write coded pictures as PNGs; 1 where some could not be read."""
    from ..inference.compression_files import to_decompress

    backbones = _find(options)
    make_writable(options.out)
    with lock(options.out):
        inputs, errors = to_decompress(options.inputs, options.out, options.overwrite)
        from ..codec.sources import read_sources
        from ..inference.compression import decompress

        (source,) = read_sources(*backbones)
        done, unread = decompress(source, inputs, options.overwrite)
    return _print(options, "pictures", done, [*errors, *unread])


def _print(options: argparse.Namespace, key: str, done: list[dict], errors: list[dict]) -> int:
    """Say what became of each picture, as JSON or in a line; 1 where some could not be read."""
    if options.json:
        print(json.dumps({key: done, "errors": errors}, indent=2))
        return 1 if errors else 0
    for each in done:
        bits = each.get("bits_per_pixel", {}).items()
        rates = ", ".join(f"{target} {value:.3f}" for target, value in bits)
        say(f"{each['file']} -> {each['out']}{f' ({rates} bits per pixel)' if rates else ''}")
    if not done and len(errors) > 1:
        say(f"none of the {len(errors)} inputs can be read", file=sys.stderr)
    return 1 if errors else 0


def _find(options: argparse.Namespace) -> _Backbones:
    """The weight files that the options name.

    Raises:
        UserError: one is not there.
    """
    from ..models.weights import find_weights

    path, targets = options.model_weights_path, options.target or LEVELS
    model = getattr(options, "model", None)
    if model:
        description = MODELS[model]
        names = description.weight_files(None if description.multitask else targets[0])
        return _Backbones(description, [find_weights(path, names)], targets)
    files = [find_weights(path, [f"{target}Reconstruction.h5"]) for target in targets]
    return _Backbones(None, files, targets)


def add_prior(commands: argparse._SubParsersAction) -> None:
    """Give `commands` the command entropy."""
    command = commands.add_parser(
        "entropy",
        aliases=["prior"],
        help="train an entropy model for weights that have none",
        description="Train the entropy model alone, on DIR/train/, of backbones that stay as they "
        "are:\nfor weights of a model, for published ones, or for those of --no_rate. It comes to\n"
        "lie beside the weight file.",
        epilog=f"example:\n  {program('entropy')} --model MJLAT --data_dir data/ "
        "--model_weights_path checkpoints/",
    )
    command.set_defaults(run=prior, check=check)
    add_options(command, "data_dir seed")
    _add_backbones(command)


def add_compress(commands: argparse._SubParsersAction) -> None:
    """Give `commands` the command compress."""
    start = program("compress")
    command = commands.add_parser(
        "compress",
        help="write pictures as files of latents",
        description="Write each picture as a coded picture, PICTURE.latent: its latents, rounded\n"
        "and range-coded. LAT, E2E-LAT and MJ-LAT predict from such files.",
        epilog=f"examples:\n  {start} --model MJLAT --out coded/ photo.jpg pictures/\n"
        f"  {start} --target JND1 JND2 JND3 --model_weights_path backbones/ "
        "--data_dir data/ --out coded/",
    )
    command.set_defaults(run=compress, check=check)
    command.add_argument("inputs", type=path, nargs="*", metavar="PATH", help="picture, or folder")
    root = "code ROOT/test/ and copy its levels, so that OUT is a ROOT to test on"
    add_options(command, "data_dir", data_dir={"required": False, "metavar": "ROOT", "help": root})
    _add_backbones(command)
    _add_out(command)
    views = (
        "what is coded of a picture, as 640x352: all of it, squashed, as the models' test sees it; "
        "the largest part of that shape in the middle; or all of it at its own size"
    )
    choices = ("squashed", "centre", "own")
    command.add_argument("--view", choices=choices, default="squashed", help=views)


def add_decompress(commands: argparse._SubParsersAction) -> None:
    """Give `commands` the command decompress."""
    start = program("decompress")
    command = commands.add_parser(
        "decompress",
        help="write files of latents as pictures again",
        description="Write what a backbone reconstructs from each coded picture as a PNG.",
        epilog=f"example:\n  {start} --target JND1 --model_weights_path backbones/ "
        "--out decoded/ coded/",
    )
    command.set_defaults(run=decompress, check=check)
    add = command.add_argument
    add("inputs", type=path, nargs="+", metavar="PATH", help="coded picture, or folder of these")
    add("--target", choices=TARGETS, nargs=1, required=True, help="whose reconstruction")
    weights = "weight file, or folder with ImgReconstruction.h5 or JNDkReconstruction.h5"
    changed = {"required": True, "help": weights}
    add_options(command, "model_weights_path", model_weights_path=changed)
    _add_out(command)


def _add_backbones(command: argparse.ArgumentParser) -> None:
    help_text = "whose backbones; without it, JNDkReconstruction.h5 or ImgReconstruction.h5"
    command.add_argument("--model", choices=_SEE_LATENTS, help=help_text)
    targets = "which backbones or, of LAT and E2ELAT, which level"
    command.add_argument("--target", choices=TARGETS, nargs="+", help=targets)
    weights = {"default": bundled("weights"), "help": "weight file, or folder of such"}
    add_options(command, "model_weights_path", model_weights_path=weights)


def _add_out(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--out", type=path, required=True, metavar="DIR", help="folder to write to")
    add("--json", action="store_true", help="print a JSON document, and nothing else")
    add_options(command, "overwrite")
