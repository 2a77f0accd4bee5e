"""JPEG frames through Pillow: encode at a quality factor, and decode."""

import io

import numpy as np
import PIL
from PIL import Image, features


def encode(rgb: np.ndarray, quality: int) -> bytes:
    """Encode a frame, uint8 [height, width, 3], as JPEG of quality 1 to 100 with 4:2:0 chroma."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return file.getvalue()


def decode(stream: bytes) -> np.ndarray:
    """Decode a JPEG file to RGB, uint8 [height, width, 3]."""
    return np.asarray(Image.open(io.BytesIO(stream)).convert("RGB"))


def encoder() -> str:
    """Name the encoder's libraries with their versions."""
    library = "libjpeg-turbo" if features.check("libjpeg_turbo") else "libjpeg"
    return f"Pillow {PIL.__version__}, {library} {features.version('jpg')}"
