"""The command backbone: train and test a learned image codec (stage 1)."""

import argparse
from functools import partial
from pathlib import Path

from ..base.constants import HEIGHT, SPLITS
from ..base.errors import RESUME_HINT, say
from ..base.files import make_writable
from ..base.program import program
from ..base.temporary import lock
from ..models.weight_paths import entropy_file, find_weights
from ..training.settings import TrainingFiles
from . import compress, decompress, entropy
from .codecs import IMAGE, TARGETS, backbone_name
from .options import Parser, add_options, path, positive, positive_real

_RANDOM, _WAVELETS = "random", "wavelets"


def _train(options: argparse.Namespace) -> None:
    from ..training.checkpoint import check_outputs, reserve

    listed = [_list_frames(options, name, jnd_needed=True) for name in SPLITS[:2]]
    initial = None
    if isinstance(options.init, Path):
        initial = find_weights(options.init, [backbone_name(IMAGE)])
    best = options.checkpoint_path / backbone_name(options.target)
    state = best.with_suffix(".state.npz")
    log = options.csv_log_path / f"logs{best.stem}.csv"
    check_outputs(best, state, log, options.resume)
    from ..training.backbone import BackboneSettings, Pairs, train_backbone

    settings = BackboneSettings(
        target=options.target,
        distortion_weight=None if options.no_rate else options.distortion_weight,
        crop=options.crop,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        precision=options.precision,
        random_weights=options.init == _RANDOM,
    )
    train, valid = (Pairs(images, jnd_frames or images) for images, jnd_frames in listed)
    with reserve(best, state, log):
        row = train_backbone(
            settings,
            train,
            valid,
            TrainingFiles(best, state, log),
            initial_weights=initial,
            epochs=options.epochs,
            resume=options.resume,
            report=partial(say, flush=True),
        )
    say(f"best epoch: {row['epoch']}, validation loss {row['val_loss']:.4g}: {best}")
    given = f"--data_dir {options.data_dir}"
    place = options.checkpoint_path
    start = program("backbone")
    say(f"next: {start} test --target {options.target} {given} --model_weights_path {place}")
    if options.target == IMAGE:
        more = f"--target JND1 --init {place} {given} --checkpoint_path {place}"
        say(f"and: {start} train {more}")


def _list_frames(
    options: argparse.Namespace, name: str, jnd_needed: bool
) -> tuple[list[Path], list[Path] | None]:
    """List the images of the split `name` and, unless the target is Img, the JND frame of each.

    Raises:
        UserError: there are no images, or not as many JND frames, unless there are none and
            `jnd_needed` is false.
    """
    from ..data import listing, split

    root, target = options.data_dir, options.target
    images = listing.list_images(root / name)
    if target == IMAGE or not (jnd_needed or (root / f"{target.lower()}{name}").exists()):
        return images, None
    return images, split.read_jnd_frames(root, name, target, images)


def _check_train(options: argparse.Namespace, parser: Parser) -> None:
    if options.target != IMAGE and not isinstance(options.init, Path):
        parser.error(f"--target {options.target} needs --init ImgReconstruction.h5")


def _test(options: argparse.Namespace) -> None:
    images, jnd_frames = _list_frames(options, "test", jnd_needed=False)
    weights_file = find_weights(options.model_weights_path, [backbone_name(options.target)])
    make_writable(options.result_path)
    from ..evaluation.backbone import evaluate_backbone

    with lock(options.result_path / f"{options.target}Reconstruction.png"):
        results = evaluate_backbone(
            options.target,
            options.data_dir / "test",
            images,
            jnd_frames,
            weights_file,
            options.result_path,
            options.overwrite,
        )
    say(f"{results.images} images: {results.frames}, {results.picture}")
    _print_means(results.means, options.target, weights_file)


def _print_means(means: dict[str, float], target: str, weights_file: Path) -> None:
    print(f"{'against the':14} PSNR dB    SSIM")
    for name, prefix in (("raw frame", ""), (f"{target} frame", "jnd_")):
        if f"{prefix}psnr" in means:
            psnr, ssim = means[f"{prefix}psnr"], means[f"{prefix}ssim"]
            print(f"{name:14} {psnr:7.2f}  {ssim:6.4f}")
    if "bits_per_pixel" in means:
        print(f"{means['bits_per_pixel']:.4f} bits per pixel, range-coded")
    else:
        say(f"no bits: {entropy_file(weights_file)}, the entropy model, is missing")


def _crop_side(text: str) -> int:
    side = positive(text)
    if side % 16 or side > HEIGHT:
        raise argparse.ArgumentTypeError(f"{side} is not a multiple of 16 from 16 to {HEIGHT}")
    return side


def _initial_weights(text: str) -> Path | str:
    return text if text in (_RANDOM, _WAVELETS) else path(text)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command backbone, which has subcommands, to `commands`."""
    parser = commands.add_parser(
        "backbone",
        prog=program("backbone"),
        help="train and test the backbone, and compress pictures with it",
        description="Stage 1: the backbone is a learned image codec. It maps a frame to a latent,\n"
        "and the latent to a frame: the same one (Img) or its JND-quality version (JND1, JND2,\n"
        "JND3). The latent models can also predict from the pictures that it compresses.",
        epilog=f"example:\n  {program('backbone')} train --target Img --data_dir data/",
    )
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(subcommands)
    _add_test(subcommands)
    for command in (entropy, compress, decompress):
        command.add_parser(subcommands)


def _add_train(commands: argparse._SubParsersAction) -> None:
    start = program("backbone")
    training = commands.add_parser(
        "train",
        help="train a backbone",
        description="Train on DIR/train/ and keep the epoch that is best on DIR/valid/. For JNDk,\n"
        "the frames to reproduce are those in DIR/jndktrain/ and DIR/jndkvalid/.",
        epilog="examples:\n"
        f"  {start} train --target Img --data_dir data/ --checkpoint_path backbones/\n"
        f"  {start} train --target JND1 --init backbones/ --data_dir data/ "
        "--checkpoint_path backbones/",
    )
    _add_target(training)
    initial = (
        "initial weights: random; wavelets (a Haar wavelet transform, which saves thousands of "
        "steps); or a weight file, or a folder with ImgReconstruction.h5, which JND1 to JND3 need"
    )
    kind = {"type": _initial_weights, "metavar": "random|wavelets|FILE"}
    training.add_argument("--init", **kind, default=_WAVELETS, help=initial)
    add_options(
        training,
        "checkpoint_path csv_log_path epochs batch_size learning_rate precision seed resume",
        checkpoint_path={"default": Path("backbones")},
        csv_log_path={"default": Path("logs")},
        epochs={"default": 100},
        learning_rate={"default": 1e-4},
        precision={
            "help": "bfloat16 is faster where the processor has it; weights stay in float32"
        },
    )
    add = training.add_mutually_exclusive_group().add_argument
    weight = (
        "weight of the distortion: the loss is bits per pixel + X times the mean squared error of "
        "pixel values from 0 to 255"
    )
    name = {"dest": "distortion_weight", "metavar": "X"}
    add("--lambda", type=positive_real, default=0.01, help=weight, **name)
    add("--no_rate", action="store_true", help="use the mean squared error alone as the loss")
    training.set_defaults(run=_train, check=_check_train, hint=RESUME_HINT)
    side = "side of the random crops in pixels, a multiple of 16"
    training.add_argument("--crop", type=_crop_side, default=256, metavar="N", help=side)


def _add_test(commands: argparse._SubParsersAction) -> None:
    testing = commands.add_parser(
        "test",
        help="measure a backbone",
        description="Measure PSNR, SSIM and bits per pixel of the frames in DIR/test/, also\n"
        "against the frames in DIR/jndktest/ if there are any, and show some side by side.",
        epilog=f"example:\n  {program('backbone')} test --target JND1 --data_dir data/ "
        "--model_weights_path backbones/",
    )
    testing.set_defaults(run=_test)
    _add_target(testing)
    weights = "weight file, or folder with ImgReconstruction.h5 or JNDkReconstruction.h5"
    changed = {"required": True, "help": weights}
    add_options(testing, "model_weights_path result_path overwrite", model_weights_path=changed)


def _add_target(command: argparse.ArgumentParser) -> None:
    add_options(command, "data_dir")
    help_text = "what the backbone reconstructs: the frame itself (Img) or its JND-quality version"
    command.add_argument("--target", choices=TARGETS, required=True, help=help_text)
