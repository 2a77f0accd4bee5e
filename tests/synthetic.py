"""Pictures and clips made by the tests, with enough in them for a codec to lose something."""

import hashlib
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"


def picture(seed: int, height: int = 352, width: int = 640) -> np.ndarray:
    """Shapes and textures at many scales: uint8 [height, width, 3]."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cell in (2, 8, 32, 128):
        small = random.normal(size=(height // cell + 2, width // cell + 2, 3))
        image = [
            Image.fromarray(small[:, :, channel].astype(np.float32)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
            for channel in range(3)
        ]
        total += np.stack(image, axis=2) * cell**0.5
    total = 128 + total * 40 / total.std()
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


def ffmpeg(*arguments, data: bytes = b"") -> bytes:
    """What ffmpeg, run on its own, writes to its standard output."""
    return subprocess.run(
        [FFMPEG, "-v", "error", *map(str, arguments)],
        input=data,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def write_clip(path: Path, pictures: list[np.ndarray], qp: int, rate: int = 5) -> None:
    """A clip of these pictures as H.264 at constant QP; `qp` 0 loses nothing but colour detail."""
    height, width = pictures[0].shape[:2]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "-"]
    coded = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-qp", qp]
    data = b"".join(image.tobytes() for image in pictures)
    ffmpeg("-y", *raw, *coded, f"file:{path}", data=data)


def moving(seed: int, count: int, height: int, width: int) -> list[np.ndarray]:
    """Pictures of a clip: a view that moves over a larger picture."""
    large = picture(seed, height + 2 * count, width + 3 * count)
    return [
        np.ascontiguousarray(large[2 * step : 2 * step + height, 3 * step : 3 * step + width])
        for step in range(count)
    ]


def frame_of(stream: Path, number: int, width: int, height: int) -> np.ndarray:
    """A frame of a stream as ffmpeg, run on its own, decodes it: RGB uint8 [height, width, 3]."""
    chain = f"select=eq(n\\,{number}),scale={SCALE},format=rgb24"
    data = ffmpeg("-i", stream, "-vf", chain, "-frames:v", 1, "-f", "rawvideo", "-")
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def pixels(path: Path) -> np.ndarray:
    """What an image file holds, as Pillow reads it."""
    return np.asarray(Image.open(path))


def hashes(root: Path) -> dict[str, str]:
    """What lies in a folder, hidden files too: hash by name."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def fake_ffmpeg(
    folder: Path, encoders: str = "", filters: str = "", options: str = "-fps_mode"
) -> Path:
    """An ffmpeg that can do nothing but list what it has."""
    path = folder / "ffmpeg"
    path.write_text(
        f'#!/bin/sh\ncase "$*" in *-encoders*) echo "{encoders}";; *-filters*) echo "{filters}";;'
        f' *"-h long"*) echo "{options}";; *) echo "ffmpeg version fake"; esac\n'
    )
    path.chmod(0o700)
    return path
