"""Damages files of every kind by seeds, reads them as the commands do, and counts what came of it.

    python -m tests.damage_everything                      # 300 of each kind, some minutes each
    python -m tests.damage_everything images --count 1000
    python -m tests.damage_everything resigned --first 17 --count 1   # one again, as it ends

A child reads file after file. What hangs for 10 s, takes more than 1.5 GB or ends the child is told
with its seed, and the next child goes on after it. Right is: refused in one line, or read; where a
file has a checksum, what is read is what was written.
"""

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgpack
import numpy as np
import psutil
from PIL import Image

from common.base.errors import UserError
from tests import golden
from tests.damage import damaged
from tests.processes import REPO
from tests.synthetic import picture

LONGEST, MEMORY = 10, 1.5e9


class Kind(NamedTuple):
    """Files of a kind, what reads them, and whether other results would be noticed."""

    write: Callable[[Path], list[Path]]
    reader: Callable[[Path], Callable[[Path], object]]
    """From the folder with the whole files, what gives of a file something to compare."""
    checked: bool
    damage: Callable[[bytes, int], bytes] = damaged


def _write_weights(folder: Path) -> list[Path]:
    import h5py

    from common.models.compact import compact
    from common.models.hdf5 import write_checksum

    whole, small = folder / "summed.h5", folder / "compact.h5"
    golden.write_weights("Backbone", whole)
    with h5py.File(whole, "a") as file:
        write_checksum(whole, file)
    compact(whole, small)
    return [whole, small]


def _weights_reader(_: Path) -> Callable[[Path], object]:
    from common.models.backbone import build_backbone
    from common.models.weights import read_weights

    model = build_backbone().whole

    def read(path: Path) -> object:
        weight_file = read_weights(model, path)
        values = zlib.crc32(b"".join(each.tobytes() for each in model.get_weights()))
        return values, str(weight_file.labels), str(weight_file.offsets)

    return read


def _write_bitstream(folder: Path) -> list[Path]:
    from common.codec.entropy_model import EntropyModel
    from common.codec.latent_codec import LatentCodec
    from common.inference.compression import compress_picture
    from common.models.backbone import build_backbone
    from common.models.build import build_model, start_from
    from common.models.descriptions import MODELS
    from common.models.wavelets import initialise_as_wavelets
    from common.models.weight_paths import entropy_file
    from common.models.weights import read_weights, write_weights

    backbone = build_backbone()
    initialise_as_wavelets(backbone, 0)
    file = folder / "JND1Reconstruction.h5"
    write_weights(backbone.whole, file)
    EntropyModel().write(entropy_file(file), backbone.whole)
    model = build_model(MODELS["LAT"])
    golden.write_weights("LAT", folder / "golden.h5")
    read_weights(model.whole, folder / "golden.h5")
    start_from(model, [backbone])
    write_weights(model.whole, folder / "LATJND1.h5")
    Image.fromarray(picture(2, 352, 640)).save(folder / "a.png")
    Image.fromarray(picture(3, 400, 700)).save(folder / "b.png")
    codecs = [LatentCodec.from_backbone("JND1", file)]
    paths = []
    for name, view in (("a", "centre"), ("b", "own")):
        paths.append(folder / f"{name}.latent")
        compress_picture(codecs, folder / f"{name}.png", paths[-1], view)
    return paths


def _bitstream_reader(folder: Path) -> Callable[[Path], object]:
    from common.inference.predictor import Predictor

    predictor = Predictor("LAT", folder / "LATJND1.h5", "JND1")
    return lambda path: predictor.levels_of_latents(predictor.latents(path)).tobytes().hex()


HOSTILE = (
    0, -1, 10**9, 2**31 - 1, 2**63 - 1, 1.5, None, True, "", "own", "centre", "JND1", b"", b"t",
    b"c", b"t" + bytes(10**6), b"c" + b"\xff" * 10**6, [], [[]], {}, "x" * 10**6,
    msgpack.ExtType(5, b""),
)  # fmt: skip
# How arrays, maps, texts, bytes and extensions of msgpack begin, of two thousand million things.
CLAIMS = [bytes([kind]) + b"\x7f\xff\xff\xff" for kind in (0xDD, 0xDF, 0xDB, 0xC6)]
CLAIMS += [b"\xc9\x7f\xff\xff\xff\x05", b"\xdd\0\x0f\xff\xff", b"\xdc\xff\xff", b"\x91"]


def damage_and_sign(data: bytes, seed: int) -> bytes:
    """A bitstream file with damaged fields, bytes or claims, and a checksum that fits again."""
    from common.codec import bitstream

    chance, head = random.Random(seed), len(bitstream.MAGIC) + 1 + bitstream._DIGEST
    content = data[head:]
    if seed % 3 == 0:
        content = damaged(content, seed)
    elif seed % 3 == 1:  # bytes of the string alone, so that all but its symbols are as they were
        fields = msgpack.unpackb(content)
        string = fields[3][0][5]
        fields[3][0][5] = string[:1] + damaged(string[1:], seed)
        content = msgpack.packb(fields)
    elif chance.random() < 0.5:
        fields = msgpack.unpackb(content)
        value = chance.choice(HOSTILE)
        holder = chance.choice([fields, fields[3][0]])
        if chance.random() < 0.2:
            fields[3] = fields[3] * chance.choice([0, 2, 99, 500])
        else:
            holder[chance.randrange(len(holder))] = value
        content = msgpack.packb(fields)
    else:  # claims of what is not there
        nested = chance.choice([1, 10, 500, 2000, 10**5])
        content = chance.choice(CLAIMS) * nested + chance.choice([b"", content])
    return data[: head - bitstream._DIGEST] + bitstream._digest(content) + content


def _write_entropy(folder: Path) -> list[Path]:
    from common.codec.entropy_model import EntropyModel
    from common.models.backbone import build_backbone
    from common.models.weight_paths import entropy_file
    from common.models.weights import write_weights

    backbone, file = build_backbone(), folder / "JND1Reconstruction.h5"
    write_weights(backbone.whole, file)
    EntropyModel().write(entropy_file(file), backbone.whole)
    return [entropy_file(file)]


def _entropy_reader(folder: Path) -> Callable[[Path], object]:
    from common.codec.entropy_model import EntropyModel
    from common.models.backbone import build_backbone
    from common.models.weights import read_weights

    backbone = build_backbone().whole
    read_weights(backbone, folder / "JND1Reconstruction.h5")

    def read(path: Path) -> object:
        entropy_model = EntropyModel()
        entropy_model.read(path, backbone)
        return entropy_model.checksum

    return read


def _variables() -> list:
    from common.base.framework import tf

    values = np.random.default_rng(0).standard_normal((40, 50)).astype(np.float32)
    return [tf.Variable(values), tf.Variable(values[0]), tf.Variable(7, dtype=tf.int64)]


def _write_state(folder: Path) -> list[Path]:
    from common.training.checkpoint import write_state

    rows = [{"epoch": number, "loss": 1 / (1 + number)} for number in range(20)]
    write_state(folder / "state.npz", {"seed": 3}, rows, _variables())
    return [folder / "state.npz"]


def _state_reader(_: Path) -> Callable[[Path], object]:
    from common.training.checkpoint import read_state

    variables = _variables()

    def read(path: Path) -> object:
        rows = read_state(path, {"seed": 3}, variables)
        return str(rows), [each.numpy().tobytes().hex() for each in variables]

    return read


def _write_images(folder: Path) -> list[Path]:
    rgb = picture(1, 96, 160)
    image, grey = Image.fromarray(rgb), rgb[..., 0]
    exif = Image.Exif()
    exif[0x0112] = 6
    made = {
        "a.png": (image, {}),
        "palette.png": (image.quantize(64), {}),
        "deep.png": (Image.fromarray(grey.astype(np.uint16) * 16), {}),
        "alpha.png": (image.convert("RGBA"), {}),
        "turned.jpg": (image, {"exif": exif}),
        "progressive.jpg": (image, {"progressive": True}),
        "inks.jpg": (image.convert("CMYK"), {}),
        "raw.tif": (image, {}),
        "lzw.tif": (image, {"compression": "tiff_lzw"}),
        "jpeg.tif": (image, {"compression": "jpeg"}),
        "plan.tif": (image.convert("1"), {"compression": "group4"}),
        "float.tif": (Image.fromarray(grey / np.float32(255)), {"compression": "tiff_deflate"}),
        "lab.tif": (Image.merge("LAB", image.split()), {}),
    }
    for suffix in ("bmp", "webp", "gif", "avif", "jp2", "ppm", "sgi", "pcx", "ico", "dds", "pfm"):
        made[f"a.{suffix}"] = (image, {}) if suffix != "pfm" else (made["float.tif"][0], {})
    for name, (each, options) in made.items():
        each.save(folder / name, **options)
    image.save(folder / "moving.gif", save_all=True, append_images=[Image.fromarray(255 - rgb)])
    return [folder / name for name in (*made, "moving.gif")]


def _images_reader(folder: Path) -> Callable[[Path], object]:
    from common.data.frames import VIEWS
    from common.data.kinds import PICTURE, VIDEO, kind
    from common.data.pictures import read_picture

    of_video = _videos_reader(folder)

    def read(path: Path) -> object:
        found = kind(path)
        if found == VIDEO:
            return of_video(path)
        if found != PICTURE:
            raise UserError(f"{path}: neither a picture nor a video")
        rgb = read_picture(path).rgb
        seen = [part for view in VIEWS.values() for part in view(rgb)]
        return hashlib.sha256(b"".join(each.tobytes() for each in seen)).hexdigest()

    return read


VIDEOS = {
    "a.mp4": "libx264", "b.mp4": "libx265", "a.mkv": "libx264", "a.webm": "libvpx-vp9",
    "a.mov": "mjpeg", "a.avi": "mpeg4", "a.mts": "libx264", "a.mpg": "mpeg2video", "a.flv": "flv",
    "a.264": "libx264", "a.gif": "gif",
}  # fmt: skip


def _write_videos(folder: Path) -> list[Path]:
    from common.video.ffmpeg import binary

    made = ["-f", "lavfi", "-i", "testsrc2=s=176x144:r=25:d=0.8"]
    for name, encoder in VIDEOS.items():
        pixels = (
            []
            if encoder == "gif"
            else ["-pix_fmt", "yuvj420p" if encoder == "mjpeg" else "yuv420p"]
        )
        command = [binary("libx264"), "-loglevel", "error", *made, "-c:v", encoder, *pixels]
        more = ["-f", "mpegts"] if name.endswith("mts") else []
        subprocess.run([*command, *more, folder / name], check=True, stderr=subprocess.DEVNULL)
    return [folder / name for name in VIDEOS]


def _videos_reader(_: Path) -> Callable[[Path], object]:
    from common.data.kinds import VIDEO, kind
    from common.video.frames import read_frames
    from common.video.probe import probe
    from common.video.scenes import find_scenes

    def read(path: Path) -> object:
        if kind(path) != VIDEO:
            raise UserError(f"{path}: no video")
        video = probe(path)
        numbers = [number for scene in find_scenes(video) for number in scene.sample(3)]
        return len([frame.shape for frame in read_frames(video, numbers)])

    return read


KINDS = {
    "weights": Kind(_write_weights, _weights_reader, True),
    "bitstream": Kind(_write_bitstream, _bitstream_reader, True),
    "resigned": Kind(_write_bitstream, _bitstream_reader, True, damage_and_sign),
    "entropy": Kind(_write_entropy, _entropy_reader, True),
    "state": Kind(_write_state, _state_reader, True),
    "images": Kind(_write_images, _images_reader, False),
    "videos": Kind(_write_videos, _videos_reader, False),
}


def read_each(name: str, first: int, count: int) -> None:
    """In the child: a line of JSON per file, with what came of it."""
    kind = KINDS[name]
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the child wherever it hangs
    with tempfile.TemporaryDirectory() as folder:
        paths = kind.write(Path(folder))
        read = kind.reader(Path(folder))
        expected = {path: read(path) for path in paths}
        print(json.dumps({"ready": [path.name for path in paths]}), flush=True)
        for seed in range(first, first + count):
            path = paths[seed % len(paths)]
            wounded = Path(folder, f"damaged{path.suffix}")
            wounded.write_bytes(kind.damage(path.read_bytes(), seed))
            begun, told = time.monotonic(), ""
            signal.alarm(LONGEST)
            try:
                same = read(wounded) == expected[path]
                outcome = "same" if same else "OTHER" if kind.checked else "read"
            except UserError as error:
                one_line = str(error).startswith(str(wounded)) and "\n" not in str(error)
                outcome, told = "refused" if one_line else "NOT ONE LINE", str(error)
            except BaseException:
                outcome, told = "TRACEBACK", traceback.format_exc()
            signal.alarm(0)
            seconds = time.monotonic() - begun
            print(json.dumps([seed, path.name, outcome, told, seconds]), flush=True)


def damage(name: str, first: int, count: int) -> Iterator[tuple[int, str, str, str, float]]:
    """Of each seed: the file, what came of it, what was said, and the seconds it took."""
    last = first + count
    while first < last:
        arguments = ["--child", name, "--first", str(first), "--count", str(last - first)]
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.damage_everything", *arguments],
            cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        peak: list[float] = [0.0]
        watch = threading.Thread(target=_watch, args=(child, peak), daemon=True)
        watch.start()
        said: list[str] = []
        listen = threading.Thread(target=lambda child=child, said=said: said.extend(child.stderr))
        listen.start()
        ready = json.loads(child.stdout.readline() or "{}")
        for line in child.stdout:
            seed, *outcome = json.loads(line)
            first = seed + 1
            yield seed, *outcome
        child.wait()
        listen.join()
        if child.returncode or not ready:
            cause = {-signal.SIGALRM: "HANG", -signal.SIGKILL: "MEMORY"}.get(
                child.returncode, "CRASH"
            )
            yield (
                first,
                "?",
                cause,
                f"{child.returncode}, {peak[0] / 1e9:.2f} GB: {said[-3:]}",
                LONGEST,
            )
            first += 1
            if not ready:
                return


def _watch(child: subprocess.Popen, peak: list[float]) -> None:
    """End the child where it and what it started take too much memory."""
    try:
        process = psutil.Process(child.pid)
        while child.poll() is None:
            family = [process, *process.children(recursive=True)]
            # Not the resident size: a process that is just being started shares its parent's.
            peak[0] = max(peak[0], sum(each.memory_full_info().pss for each in family))
            if peak[0] > MEMORY:
                for each in reversed(family):
                    each.kill()
            time.sleep(0.02)
    except psutil.NoSuchProcess:
        pass


def main() -> int:
    """Damage what is asked for; 1 where something came of it that must not."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        read_each(options.child, options.first, options.count)
        return 0
    wrong = 0
    for name in options.kinds or KINDS:
        outcomes, slowest = Counter(), 0.0
        for seed, file, outcome, told, seconds in damage(name, options.first, options.count):
            outcomes[outcome] += 1
            slowest = max(slowest, seconds)
            if outcome.isupper() or options.count == 1:
                wrong += outcome.isupper()
                print(f"{name} {seed} ({file}): {outcome}: {told}")
        print(f"{name}: {dict(outcomes)}; the slowest took {slowest:.1f} s", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
