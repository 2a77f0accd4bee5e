"""Options and output shared by the commands entropy, compress and decompress."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.constants import LEVELS
from ..base.errors import UserError, report_skipped, say
from ..base.progress import Progress
from ..data.text import readable
from ..models.descriptions import MODELS
from ..models.weight_paths import find_weights
from .options import Parser, add_options, bundled_path, path

if TYPE_CHECKING:
    from ..codec.latent_codec import LatentCodec, LoadAnalysis
    from ..inference.compression import Compressed, Decompressed
    from ..inference.compression_files import Work

IMAGE = "Img"
TARGETS = (IMAGE, *LEVELS)
_SEE_LATENTS = [name for name, model in MODELS.items() if model.sees == "latent"]


def backbone_name(target: str) -> str:
    """Name the weight file of the backbone that reconstructs `target`."""
    return f"{target}Reconstruction.h5"


def add_backbone_options(command: argparse.ArgumentParser) -> None:
    """Add options that select backbones, or a model whose backbones are used."""
    help_text = "model whose backbones to use, in place of JNDk- or ImgReconstruction.h5"
    command.add_argument("--model", choices=_SEE_LATENTS, help=help_text)
    targets = "what the backbones reconstruct; with LAT and E2ELAT, the level"
    command.add_argument("--target", choices=TARGETS, nargs="+", help=targets)
    weights = {"default": bundled_path("weights"), "help": "weight file, or folder of weight files"}
    add_options(command, "model_weights_path", model_weights_path=weights)


def check_backbone_options(options: argparse.Namespace, parser: Parser) -> None:
    """Exit with code 2 if the options that select backbones contradict each other."""
    model, targets = options.model, options.target
    if model and MODELS[model].multitask:
        if targets:
            parser.error(f"--model {model} uses all three backbones: leave out --target")
    elif not targets:
        parser.error("--target is missing: Img, JND1, JND2 or JND3")
    elif model and (len(targets) > 1 or targets == [IMAGE]):
        parser.error(f"--model {model} needs one --target: JND1, JND2 or JND3")


def find_backbones(options: argparse.Namespace) -> list[Path]:
    """Find the weight files that the options select, or raise a UserError."""
    path, targets = options.model_weights_path, options.target
    if options.model:
        description = MODELS[options.model]
        return [find_weights(path, description.weight_files(targets and targets[0]))]
    return [find_weights(path, [backbone_name(target)]) for target in targets]


def load_codecs(
    options: argparse.Namespace, files: list[Path], *load_analysis: "LoadAnalysis"
) -> "list[LatentCodec]":
    """Load the codecs in the weight files that `find_backbones` found.

    Raises:
        UserError: a file is damaged, or another model's.
    """
    from ..codec.latent_codec import LatentCodec

    if options.model:
        level = options.target and options.target[0]
        return LatentCodec.from_model(MODELS[options.model], files[0], level, *load_analysis)
    pairs = zip(options.target, files)
    return [LatentCodec.from_backbone(*pair, *load_analysis) for pair in pairs]


def add_output_options(command: argparse.ArgumentParser) -> None:
    """Add options for the output."""
    command.add_argument("--out", type=path, required=True, metavar="DIR", help="output folder")
    add_options(command, "json overwrite")


def write_all(
    options: argparse.Namespace,
    title: str,
    work: "Work",
    write: "Callable[[Path, Path], Compressed | Decompressed]",
) -> int:
    """Call `write` for each pair of files, print what was written, and return the exit code.

    Args:
        title: the progress bar's description.
    """
    done: list[dict[str, Any]] = []
    errors = work.errors[:]
    for file, out in Progress(work.pairs, title, unit="picture"):
        try:
            written = write(file, out)._asdict()
        except UserError as error:
            report_skipped(error)
            errors.append({"file": readable(file), "error": str(error)})
        else:
            done.append({**written, "file": readable(file), "out": readable(out)})
    if options.json:
        print(json.dumps({"pictures": done, "errors": errors}, indent=2))
        return 1 if errors else 0
    for each in done:
        bits = each.get("bits_per_pixel", {}).items()
        rates = ", ".join(f"{target} {value:.3f}" for target, value in bits)
        say(f"{each['file']} -> {each['out']}{f' ({rates} bits per pixel)' if rates else ''}")
    if not done and len(errors) > 1:
        say(f"none of the {len(errors)} inputs can be read", file=sys.stderr)
    return 1 if errors else 0
