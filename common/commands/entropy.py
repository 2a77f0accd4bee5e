"""The command entropy: train missing entropy models."""

import argparse

from ..base.errors import say
from ..base.files import make_writable
from ..base.program import program
from .codecs import add_backbone_options, check_backbone_options, find_backbones, load_codecs
from .options import add_options


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command entropy, formerly called prior, to `commands`."""
    parser = commands.add_parser(
        "entropy",
        aliases=["prior"],
        help="train an entropy model for weights that have none",
        description="Train the entropy model of a frozen backbone on DIR/train/, for the weights\n"
        "of a model, published weights, or a backbone that was trained with --no_rate. It is\n"
        "written next to the weight file.",
        epilog=f"example:\n  {program('entropy')} --model MJLAT --data_dir data/ "
        "--model_weights_path checkpoints/",
    )
    add_options(parser, "data_dir seed")
    add_backbone_options(parser)
    parser.set_defaults(run=run, check=check_backbone_options)


def run(options: argparse.Namespace) -> None:
    """Train the entropy models that are missing."""
    from ..data.listing import list_images

    images, files = list_images(options.data_dir / "train"), find_backbones(options)
    for file in files:
        make_writable(file.parent)
    from ..training.entropy import train_entropy_model

    for codec in load_codecs(options, files):
        if codec.entropy_file.exists():
            say(f"{codec.entropy_file}: already exists")
            continue
        bits = train_entropy_model(codec, images, options.seed)
        say(f"{codec.entropy_file}: {bits:.4f} bits per pixel on the training frames")
