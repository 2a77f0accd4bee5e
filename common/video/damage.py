"""Detection of damage that ffmpeg passes over: its demuxers skip packets, and it succeeds."""

import re
from pathlib import Path

# Messages of the demuxers of Matroska and Ogg.
_LOSS = re.compile(
    r"\[(?:in#\d+/?)?(?:matroska,webm|ogg)? @ \w+\] (?:(?P<end>File ended prematurely)"
    r"|0x00 at pos (?P<zero>\d+)|.*(?:exceeds containing master|EBML number|CRC mismatch))"
)
_REMEDY = "ffmpeg -i INPUT -map 0 -c copy OUTPUT.mkv leaves out what is damaged"


def find_loss(path: Path, line: str) -> str:
    """Find out whether a line of ffmpeg's log says that a part of a file is lost.

    Returns:
        What is wrong; empty if nothing is.
    """
    loss = _LOSS.search(line)
    if not loss or (loss["zero"] and _is_padding(path, int(loss["zero"]))):
        return ""
    return "cut short: its end is missing" if loss["end"] else f"damaged; {_REMEDY}"


def _is_padding(path: Path, start: int) -> bool:
    """Check whether all bytes of a file from `start` on are 0, as some recorders leave it."""
    with path.open("rb") as file:
        file.seek(start)
        return not any(part.strip(b"\0") for part in iter(lambda: file.read(2**20), b""))
