"""What kind of file is which: by what is in it, whatever it is called."""

import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from common.data.kinds import BITSTREAM, PICTURE, VIDEO, kind
from common.data.pictures import read_picture, read_rgb
from common.video.ffmpeg import binary
from tests.synthetic import picture

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "AVIF", "BMP", "JPEG2000", "PPM", "SGI", "PCX")
# Muxer and encoder, as ffmpeg names them.
STREAMS = {
    "mp4": "libx264", "mov": "mjpeg", "matroska": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4",
    "mpegts": "libx264", "mpeg": "mpeg2video", "vob": "mpeg2video", "flv": "flv", "asf": "wmv2",
    "3gp": "mpeg4", "h264": "libx264", "hevc": "libx265", "ivf": "libvpx-vp9", "mxf": "mpeg2video",
    "yuv4mpegpipe": "rawvideo", "nut": "mpeg4", "mpeg2video": "mpeg2video", "gif": "gif",
    "apng": "apng", "m2ts": "libx264", "ogg": "libtheora",
}  # fmt: skip


@pytest.mark.parametrize("format_", FORMATS)
def test_pictures_are_known_by_their_bytes(tmp_path, format_):
    image = Image.fromarray(picture(1, 48, 64))
    for name in ("nameless", "wrong.MP4", "right.jpg"):
        image.save(tmp_path / name, format_)
        assert kind(tmp_path / name) == PICTURE


@pytest.mark.parametrize("muxer", STREAMS)
def test_videos_are_known_by_their_bytes(tmp_path, muxer):
    ffmpeg, encoder = binary("libx264"), STREAMS[muxer]
    if encoder not in subprocess.run([ffmpeg, "-encoders"], capture_output=True, text=True).stdout:
        pytest.skip(f"ffmpeg lacks {encoder}")
    path = tmp_path / "nameless"
    format_ = ["mpegts", "-mpegts_m2ts_mode", "1"] if muxer == "m2ts" else [muxer]
    pixels = [] if muxer in ("gif", "apng") else ["-pix_fmt", "yuv420p"]
    made = ["-f", "lavfi", "-i", "testsrc2=s=176x144:r=25:d=0.4", "-c:v", encoder, *pixels]
    command = [ffmpeg, "-loglevel", "error", *made, "-f", *format_, path]
    subprocess.run(command, check=True)
    assert kind(path) == VIDEO
    if muxer == "mpegts":  # cut in the middle of a packet, as receivers do
        path.write_bytes(path.read_bytes()[100:])
        assert kind(path) == VIDEO


def test_names_tell_of_damaged_files_and_of_bitstream_files(tmp_path):
    for name, expected in {
        "a.JPG": PICTURE,
        "a.heic": None,  # without a plugin of Pillow
        "a.MTS": VIDEO,
        "a.mjpeg": VIDEO,
        "a.latent": BITSTREAM,
        "a.ts": None,
        "a.txt": None,
        "nameless": None,
    }.items():
        (tmp_path / name).write_bytes(b"nothing of the kind")
        assert kind(tmp_path / name) == expected, name
    assert kind(tmp_path / "not there.png") == PICTURE
    assert kind(tmp_path / f"{'long' * 100}.png") == PICTURE


def test_what_is_neither_picture_nor_video(tmp_path):
    image = Image.fromarray(picture(1, 48, 64))
    image.save(tmp_path / "a.eps")  # Pillow would start Ghostscript
    image.save(tmp_path / "a.pdf")
    image.save(tmp_path / "raw.tif")
    (tmp_path / "raw.tif").rename(tmp_path / "raw.NEF")  # Pillow would see its preview
    (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0")
    (tmp_path / "a.ogg").write_bytes(b"OggS\0\2" + bytes(22) + b"\1\x1e\1vorbis" + bytes(30))
    (tmp_path / "a.py").write_text("P = 3\nPython = 4\n")
    (tmp_path / "notes").write_text("The free encyclopedia")
    (tmp_path / "list").write_text("Big wide world")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe.png")  # to open it would wait for ever
    for path in tmp_path.iterdir():
        assert kind(path) is None, path.name
    assert kind(tmp_path) is None


def test_quicktime_of_old_begins_with_any_atom(tmp_path):
    for size, atom in ((8, "wide"), (70_000, "free"), (2_000_000_000, "mdat"), (900, "moov")):
        (tmp_path / atom).write_bytes(size.to_bytes(4, "big") + atom.encode() + bytes(100))
        assert kind(tmp_path / atom) == VIDEO


def test_only_what_moves_of_gif_and_png_is_a_video(tmp_path):
    frames = [Image.fromarray(picture(number, 48, 64)) for number in range(3)]
    for name in ("a.gif", "a.png", "a.webp", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert kind(tmp_path / name) == (VIDEO if name in ("a.gif", "a.png") else PICTURE)
        frames[0].save(tmp_path / name)
        assert kind(tmp_path / name) == PICTURE


@pytest.mark.parametrize("name", ["a.tga", "a.qoi", "a.dib"])
def test_pictures_of_rare_kinds(tmp_path, name):
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / name)
    assert kind(tmp_path / name) == PICTURE
    assert np.array_equal(read_rgb(tmp_path / name), rgb)


def test_pages_that_are_not_seen_are_told(tmp_path):
    pages = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    for name in ("a.tif", "a.webp"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        picture = read_picture(tmp_path / name)
        assert "first of its 3" in picture.notes[0] and picture.rgb[0, 0].argmax() == 0
