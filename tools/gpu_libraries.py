"""TensorFlow's and CUDA's libraries, for tools/gpu_check.sh: made small, and found."""

import ctypes
import mmap
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

ARCHITECTURE = 90  # of Hopper; the machine code for other cards is left out
_FATBIN, _PTX, _CUBIN = 0xBA55ED50, 1, 2  # as CUDA's __cudaFatFormat and its entries begin
# What TensorFlow 2.21 loads before it uses a GPU, and what may stand in for it. CUDA 13's libcudart
# may not, since it fills larger structures; its cuBLAS and cuDNN have all the functions that
# TensorFlow calls, and the others are loaded but not used here.
LIBRARIES = {
    "libcudart.so.12": "libcudart.so.12",
    "libcublas.so.12": "libcublas.so.13",
    "libcublasLt.so.12": "libcublasLt.so.13",
    "libcudnn.so.9": "libcudnn.so.9",
    "libcufft.so.11": "libcufft.so.12",
    "libcusolver.so.11": "libcusolver.so.12",
    "libcusparse.so.12": "libcusparse.so.12",
    "libnccl.so.2": "libnccl.so.2",
}


def prune(path: Path) -> None:
    """Take out of a library, in place, the device code that an `ARCHITECTURE` card never loads.

    Where there is machine code for the card, that is all but it; otherwise all but PTX. What is
    kept moves to the front; the zeros that follow take no space once they are compressed.
    """
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        for start, size in _find_sections(data, b".nv_fatbin"):
            position = start
            while position < start + size:
                magic, _, header, length = struct.unpack_from("<IHHQ", data, position)
                if magic != _FATBIN:
                    position += 8  # padding
                    continue
                code = slice(position + header, position + header + length)
                kept = _choose_code(data[code])
                data[code] = kept.ljust(length, b"\0")
                struct.pack_into("<Q", data, position + 8, len(kept))
                position = code.stop


def _choose_code(code: bytes) -> bytes:
    """Return those entries of a fat binary that the card would load."""
    entries, start = [], 0
    while start < len(code):
        kind, _, header, length = struct.unpack_from("<HHIQ", code, start)
        (architecture,) = struct.unpack_from("<I", code, start + 28)
        entries.append((kind, architecture, code[start : start + header + length]))
        start += header + length
    compiled = [entry for *what, entry in entries if what == [_CUBIN, ARCHITECTURE]]
    return b"".join(compiled or [entry for kind, _, entry in entries if kind == _PTX])


def _find_sections(data: mmap.mmap, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Yield offset and size of the sections of a 64-bit ELF file that have a name."""
    (headers,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", data, headers + n * size) for n in range(count)]
    for name, _, _, _, start, length in sections:
        at = sections[names][4] + name
        if data[at : at + len(wanted) + 1] == wanted + b"\0":
            yield start, length


def link_libraries(folder: Path) -> None:
    """Link CUDA's libraries into a folder under the names that TensorFlow loads them by.

    They are looked for in Python packages, then where CUDA's own installer puts them. Prints the
    folders of all, for LD_LIBRARY_PATH; exits with a line that names those that are missing.
    """
    places = [each for path in sys.path for each in Path(path or ".").glob("nvidia/*/lib")]
    places += [*Path("/usr/local").glob("cuda*/lib64"), Path("/usr/lib/x86_64-linux-gnu")]

    def find(name: str) -> Path | None:
        return next((place / name for place in places if (place / name).exists()), None)

    found = {name: find(name) or find(other) for name, other in LIBRARIES.items()}
    if missing := ", ".join(name for name, path in found.items() if path is None):
        sys.exit(f"gpu_check: no {missing} in {', '.join(map(str, places))}: carry its package")
    folder.mkdir(exist_ok=True)
    for name, path in found.items():
        assert path
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        print(f"{name} is {path}", file=sys.stderr)
    print(os.pathsep.join(map(str, [folder, *places])))


def load_libraries() -> None:
    """Load all of `LIBRARIES`, as TensorFlow will; exit with a line about the first that fails.

    TensorFlow itself names none of them.
    """
    for name in LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError as error:
            sys.exit(
                f"gpu_check: {name} stands for {LIBRARIES[name]}, but cannot be loaded: {error}"
            )


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    if command == "load":
        load_libraries()
    for each in map(Path, paths):
        {"prune": prune, "link": link_libraries}[command](each)
