"""Pictures of more than 8 bits, and of other colours than red, green and blue, as meant."""

import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from common.base.errors import UserError
from common.data.pictures import TRANSPARENT, read_picture, read_rgb
from common.video.ffmpeg import binary
from tests.synthetic import picture

RGB = picture(3, 60, 80)
GREY = np.ascontiguousarray(RGB[..., 1])
GREY[0, :2] = 0, 255


def _tiff(path, array, tags=(), **options):
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in dict(tags).items():
        directory[tag] = value
    Image.fromarray(array).save(path, tiffinfo=directory, **options)
    return path


def _png(path, array, depth=16, colours=0):
    """A PNG as its specification says, since Pillow writes none of 16 bits in colour."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(signature + data)
    return path


def _pgm(path, array, most):
    kind = b"P6" if array.ndim == 3 else b"P5"
    head = b"%s %d %d %d\n" % (kind, array.shape[1], array.shape[0], most)
    path.write_bytes(head + array.astype(">u2").tobytes())
    return path


def _same(path, expected, most=0, noted=""):
    """It is seen as these pixels, up to a difference of `most`, with a note that tells `noted`."""
    rgb, notes = read_picture(path)
    assert rgb.dtype == np.uint8 and rgb.shape == (*expected.shape[:2], 3)
    expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, 2)
    assert np.abs(rgb.astype(int) - expected).max() <= most
    assert noted in "".join(notes) and bool(notes) == bool(noted)


WIDE = GREY.astype(np.uint16)


@pytest.mark.parametrize(
    ("array", "most"),
    [
        (GREY / np.float32(255), 0),
        (GREY / np.float32(255) * np.float32(0.6), None),  # a dim one, but no white
        (GREY.astype(np.float32), 0),
        (GREY.astype(np.float32) * 257, 0),
        (GREY.astype(np.float32) * 256, 0),
        (np.float32(1.2) * GREY / 255 - np.float32(0.004), None),
        (GREY.astype(np.int32), 0),
        (GREY.astype(np.int32) * 257, 0),
        (GREY.astype(np.int32) << 23, 0),
    ],
)
def test_numbers_of_32_bits_are_seen_by_what_they_hold(tmp_path, array, most):
    expected = GREY if most is not None else np.clip(np.rint(array * 255), 0, 255)
    if most is None and array.max() > 1:  # overshoot in more than a hundredth is no overshoot
        array = np.where(np.arange(80) == 7, array, np.minimum(array, 1)).astype(np.float32)
        expected = np.clip(np.rint(array * 255), 0, 255)
        assert 0 < (array > 1).mean() < 0.01 or not (array > 1).any()
    _same(_tiff(tmp_path / "a.tif", array), expected, most or 0)


def test_fractions_of_pfm_are_seen_too(tmp_path):
    Image.fromarray(GREY / np.float32(255)).save(tmp_path / "a.pfm")
    _same(tmp_path / "a.pfm", GREY)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(tmp_path, value):
    array = GREY / np.float32(255)
    array[5, 5] = value
    with pytest.raises(UserError, match="NaN or infinite"):
        read_rgb(_tiff(tmp_path / "a.tif", array))
    with pytest.raises(UserError, match="negative"):
        read_rgb(_tiff(tmp_path / "b.tif", GREY / np.float32(127.5) - 1))


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_few_bits_in_16_are_guessed_and_told(tmp_path, bits):
    """Both by shifting and by scaling 8 bits, as grey and in colour, in files of several kinds."""
    shifted = WIDE << (bits - 8)
    scaled = np.rint(GREY * ((2**bits - 1) / 255)).astype(np.uint16)
    told = f"read as {bits}-bit data"
    for array in (shifted, scaled):
        _same(_tiff(tmp_path / "a.tif", array), GREY, noted=told)
        _same(_png(tmp_path / "a.png", array), GREY, noted=told)
    colours = np.rint(RGB * ((2**bits - 1) / 255)).astype(np.uint16)
    _same(_png(tmp_path / "rgb.png", colours, colours=2), RGB, noted=told)
    for compression in ("raw", "deflate", "lzw"):
        path = tmp_path / f"{compression}.tif"
        saved = ["-i", tmp_path / "rgb.png", "-compression_algo", compression, path]
        subprocess.run([binary("libx264"), "-loglevel", "error", *saved], check=True)
        _same(path, RGB, noted=told)


def test_what_the_file_says_goes_before_its_values(tmp_path):
    for bits in (10, 12, 14):
        array = WIDE << (bits - 8)
        _same(_tiff(tmp_path / "a.tif", array // 8, {281: 2**bits - 1}), GREY >> 3)
        _same(_pgm(tmp_path / "a.pgm", array, (255 << (bits - 8))), GREY, most=1)
    _same(_tiff(tmp_path / "b.tif", WIDE, {281: 65535}), GREY * 0)
    _same(_tiff(tmp_path / "c.tif", GREY.astype(np.float32), {341: 65535.0}), GREY * 0)
    _png(tmp_path / "rgb.png", RGB.astype(np.uint16) << 6, colours=2)
    saved = ["-i", tmp_path / "rgb.png", "-compression_algo", "raw", tmp_path / "rgb.tif"]
    subprocess.run([binary("libx264"), "-loglevel", "error", *saved], check=True)
    _same(tmp_path / "rgb.tif", RGB >> 2)
    data = (tmp_path / "rgb.tif").read_bytes()
    resolution = struct.pack("<HHI", 282, 5, 1)  # a tag that nobody needs, of the same order
    assert data.count(resolution) == 1
    place = data.index(resolution)
    changed = data[:place] + struct.pack("<HHIHH", 281, 3, 1, 16383, 0) + data[place + 12 :]
    (tmp_path / "rgb.tif").write_bytes(changed)
    _same(tmp_path / "rgb.tif", RGB)
    colours = RGB.astype(np.uint16) * 16
    _same(_pgm(tmp_path / "a.ppm", colours, 4080), RGB, most=1)


def test_a_dark_picture_of_16_bits_stays_dark(tmp_path):
    dark = GREY // 6
    for factor in (256, 257):  # up to 42 of 255: 12 bits would hold a part of it
        _same(_png(tmp_path / "a.png", dark // 4 * np.uint16(factor)), dark // 4)
    _same(_png(tmp_path / "b.png", dark * np.uint16(256) + 99), dark, noted="dark 16-bit data")
    _same(_png(tmp_path / "c.png", RGB // 6 * np.uint16(257), colours=2), RGB // 6)
    _same(_png(tmp_path / "d.png", RGB // 17 * np.uint16(257), colours=2), RGB // 17)
    _same(_png(tmp_path / "e.png", GREY * np.uint16(0)), GREY * 0)


def test_big_endian_and_white_is_zero(tmp_path):
    head = struct.pack(">2sHIH", b"MM", 42, 8, 9)
    height, width = GREY.shape
    entries = [
        (256, 3, width), (257, 3, height), (258, 3, 16), (259, 3, 1), (262, 3, 1),
        (273, 4, 122), (277, 3, 1), (278, 3, height), (279, 4, GREY.size * 2),
    ]  # fmt: skip

    def entry(tag, kind, value):
        return struct.pack(">HHI", tag, kind, 1) + (
            struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
        )

    made = head + b"".join(entry(*each) for each in entries) + bytes(4)
    made += (WIDE * 257).astype(">u2").tobytes()
    (tmp_path / "a.tif").write_bytes(made)
    _same(tmp_path / "a.tif", GREY)
    _same(_tiff(tmp_path / "b.tif", WIDE * 257, {262: 0}), 255 - GREY)


def test_transparent_pixels_are_told_and_opaque_ones_not(tmp_path):
    alpha = np.full((60, 80, 1), 255, np.uint8)
    opaque = np.concatenate([RGB, alpha], 2)
    alpha[3, 4] = 254
    Image.fromarray(opaque).save(tmp_path / "opaque.png")
    _same(tmp_path / "opaque.png", RGB)
    Image.fromarray(np.concatenate([RGB, alpha], 2)).save(tmp_path / "rgba.png")
    Image.fromarray(np.concatenate([GREY[..., None], alpha], 2)).save(tmp_path / "la.png")
    Image.fromarray(RGB).save(tmp_path / "key.png", transparency=tuple(map(int, RGB[0, 0])))
    _same(tmp_path / "rgba.png", RGB, noted=TRANSPARENT)
    _same(tmp_path / "la.png", GREY, noted=TRANSPARENT)
    _same(tmp_path / "key.png", RGB, noted=TRANSPARENT)
    indexed = Image.fromarray(RGB).quantize(64)
    expected = np.asarray(indexed.convert("RGB"))
    indexed.save(tmp_path / "palette.png")
    _same(tmp_path / "palette.png", expected)
    indexed.save(tmp_path / "palette.png", transparency=indexed.getpixel((0, 0)))
    _same(tmp_path / "palette.png", expected, noted=TRANSPARENT)


def _cie_lab(rgb):
    """L*, of 255, and a* and b* of sRGB, by IEC 61966-2-1 and CIE 15 for the white of D50."""
    linear = np.where(rgb <= 10, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169]]
    to_xyz += [[0.0139322, 0.0971045, 0.7141733]]
    ratio = linear @ np.transpose(to_xyz) / [0.96422, 1, 0.82521]
    cubes = np.where(ratio > 216 / 24389, np.cbrt(ratio), ratio * 841 / 108 + 4 / 29)
    x, y, z = np.moveaxis(cubes, -1, 0)
    return np.stack([(116 * y - 16) * 2.55, 500 * (x - y), 200 * (y - z)], -1)


def test_other_colour_models_are_converted(tmp_path):
    """By values from their definitions, and by ffmpeg for a CMYK JPEG, whose inks are inverted."""
    bits = (GREY > 99).astype(np.uint8) * 255
    for name, options in (("a.tif", {"compression": "group4"}), ("a.png", {}), ("a.pbm", {})):
        Image.fromarray(bits).convert("1").save(tmp_path / name, **options)
        _same(tmp_path / name, bits)
    seen = np.array([[(255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 120, 90), (60, 130, 90)]])
    values = _cie_lab(seen).round().astype(np.int16).astype(np.uint8).tobytes()
    Image.frombytes("LAB", (5, 1), values).save(tmp_path / "lab.tif")
    assert values in (tmp_path / "lab.tif").read_bytes()  # a* and b* are signed
    _same(tmp_path / "lab.tif", seen, most=3)
    inks = np.zeros((16, 64, 4), np.uint8)
    for number in range(4):
        inks[:, 16 * number : 16 * number + 16, number] = 255
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.tif")
    printed = np.repeat([[[0, 255, 255], [255, 0, 255], [255, 255, 0], [0, 0, 0]]], 16, 0)
    printed = np.repeat(printed, 16, 1)
    _same(tmp_path / "a.tif", printed)
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg", quality=100)
    assert b"Adobe" in (tmp_path / "a.jpg").read_bytes()
    _same(tmp_path / "a.jpg", printed, most=2)
    raw = [binary("libx264"), "-loglevel", "error", "-i", tmp_path / "a.jpg"]
    raw += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    by_ffmpeg = subprocess.run(raw, capture_output=True, check=True).stdout
    _same(tmp_path / "a.jpg", np.frombuffer(by_ffmpeg, np.uint8).reshape(16, 64, 3), most=3)
    Image.fromarray(RGB).convert("YCbCr").save(tmp_path / "ycc.tif", compression="raw")
    _same(tmp_path / "ycc.tif", RGB, most=3)


def test_whole_numbers_of_24_bits_in_32(tmp_path):
    grey = np.arange(64 * 64, dtype=np.int32).reshape(64, 64) // 16
    Image.fromarray(grey * 65793).save(tmp_path / "a.tif")  # 255 becomes 2^24 - 1
    rgb, notes = read_picture(tmp_path / "a.tif")
    assert np.array_equal(rgb[..., 0], grey) and "24-bit" in notes[0]
