"""Image files: which, in what order, and what the models get of them."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from common.base.constants import HEIGHT, WIDTH
from common.base.errors import UserError
from common.data.frames import batch_frames, decode_frames, raise_first
from common.data.listing import list_images
from common.data.pictures import read_picture, read_rgb
from tests.synthetic import picture

pytestmark = pytest.mark.tensorflow


def _save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path, **options)


def test_natural_order_through_subfolders(tmp_path):
    in_order = [
        "Img1.PNG",
        "img2.jpg",
        "img10.png",
        "sub2/a.bmp",
        "sub10/a.webp",
        "z.TIF",
        "z1.tiff",
    ]
    for name in reversed(in_order):
        _save(tmp_path / name, np.zeros((2, 2, 3)))
    for name in ("notes.txt", ".hidden.png", ".cache/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.relative_to(tmp_path).as_posix() for p in list_images(tmp_path)] == in_order


def test_a_missing_or_empty_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no images in it"):
        list_images(tmp_path)


def test_other_kinds_of_pictures_are_counted(tmp_path):
    for name in ("a.CDR", "sub/b.cdr", "c.svg", "JND-Levels.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(
        UserError, match=r"but 3 files that are not pictures \(\.cdr, \.svg\); convert"
    ):
        list_images(tmp_path)


def test_an_unreadable_folder_is_an_error(tmp_path, monkeypatch):
    """Not the end of the list. Root may read everything, so the system's answer is ours."""
    for name in ("a.png", "sub/b.png"):
        _save(tmp_path / name, np.zeros((2, 2, 3)))
    scandir = os.scandir

    def refuse(path="."):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"sub: permission denied; make it readable"):
        list_images(tmp_path)


def test_what_prepare_made_is_passed_over(tmp_path):
    _save(tmp_path / "a.png", np.zeros((2, 2, 3)))
    _save(tmp_path / "made" / "train" / "b.png", np.zeros((2, 2, 3)))
    (tmp_path / "made" / ".prepare").mkdir()
    assert list_images(tmp_path) == [tmp_path / "a.png"]


COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], np.uint8)


def test_a_header_that_promises_too_much_is_not_believed(tmp_path):
    """A file of 631 bytes that says 65535x65535 pixels, which would take 17 GB."""
    path = tmp_path / "a.jpg"
    Image.new("RGB", (16, 16)).save(path)
    data = path.read_bytes()
    frame = data.index(b"\xff\xc0") + 5  # marker, length and depth; then height and width
    path.write_bytes(data[:frame] + b"\xff" * 4 + data[frame + 4 :])
    with pytest.raises(UserError, match=r"65535x65535 pixels in 631 bytes; the limit for a file"):
        read_rgb(path)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff"])
def test_lossless_files_give_their_pixels(tmp_path, suffix):
    _save(tmp_path / f"a.{suffix}", COLOURS)
    assert np.array_equal(read_rgb(tmp_path / f"a.{suffix}"), COLOURS)


def test_alpha_is_dropped_not_blended(tmp_path):
    alpha = np.full((2, 2, 1), 7, np.uint8)
    _save(tmp_path / "a.png", np.concatenate([COLOURS, alpha], 2))
    assert np.array_equal(read_rgb(tmp_path / "a.png"), COLOURS)
    Image.fromarray(COLOURS).quantize(4).save(tmp_path / "palette.png", transparency=0)
    assert np.array_equal(read_rgb(tmp_path / "palette.png"), COLOURS)


def test_grey_is_repeated_and_16_bits_keep_their_upper_8(tmp_path):
    grey = np.array([[0, 128], [255, 3]], np.uint8)
    _save(tmp_path / "grey.png", grey)
    deep = Image.fromarray(grey.astype(np.uint16) * 256 + 200)
    deep.save(tmp_path / "deep.png")
    for name in ("grey.png", "deep.png"):
        assert np.array_equal(read_rgb(tmp_path / name), np.repeat(grey[..., None], 3, 2))


# What EXIF says of row 0 and column 0 of the stored pixels, as a numpy operation that mends it.
ORIENTATIONS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_is_applied(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    _save(tmp_path / "a.png", pixels, exif=exif)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), ORIENTATIONS[orientation](pixels))


def test_batches_are_frames_in_blue_green_red(tmp_path):
    colours = [[200, 100, 50], [1, 2, 3], [250, 251, 252]]
    for number, colour in enumerate(colours):
        _save(tmp_path / f"{number}.png", np.full((30, 50, 3), colour))
    batches = [
        (numbers.numpy().tolist(), frames.numpy())
        for numbers, errors, frames in batch_frames(list_images(tmp_path), 2)
        if not any(errors.numpy())
    ]
    assert [numbers for numbers, _ in batches] == [[0, 1], [2]]
    assert batches[0][1].shape == (2, HEIGHT, WIDTH, 3)
    frames = np.concatenate([frames for _, frames in batches])
    assert frames.dtype == np.uint8
    assert np.array_equal(frames[:, 5, 7], np.array(colours)[:, ::-1])


def test_bad_files_are_named(tmp_path):
    _save(tmp_path / "0.png", np.zeros((400, 400, 3)))
    whole = np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8)
    _save(tmp_path / "1.jpg", whole)
    (tmp_path / "1.jpg").write_bytes((tmp_path / "1.jpg").read_bytes()[:2000])
    (tmp_path / "2.png").touch()
    (tmp_path / "3.bmp").write_text("no image")
    _save(tmp_path / "4.png", whole)
    ((numbers, errors, frames),) = batch_frames(list_images(tmp_path), 8)
    assert [int(n) for n, error in zip(numbers, errors) if error == b""] == [0, 4]
    bad = [error.decode() for error in errors.numpy() if error]
    assert not frames[1:4].numpy().any()
    with pytest.raises(UserError, match=r"1\.jpg"):
        raise_first(errors)
    named = sorted(error.split(":")[0] for error in bad)
    assert named == [str(tmp_path / name) for name in ("1.jpg", "2.png", "3.bmp")]
    assert all("cannot be read as an image" in error for error in bad)


def test_rows_come_in_the_given_order_and_bad_ones_are_named(tmp_path):
    colours = [(200, 100, 50), (1, 2, 3), (250, 251, 252)]
    images = [tmp_path / f"{number}.png" for number in range(3)]
    targets = [tmp_path / f"jnd/{number}.png" for number in range(3)]
    for image, target, colour in zip(images, targets, colours):
        _save(image, np.full((HEIGHT, WIDTH, 3), colour))
        _save(target, np.full((HEIGHT, WIDTH, 3), colour[::-1]))
    targets[1] = tmp_path / "none.png"
    rows = list(decode_frames([images, targets], np.array([2, 1, 0])))
    assert [int(number) for number, *_ in rows] == [2, 1, 0]
    bad = rows.pop(1)[1].numpy().decode()
    for number, error, frame, target in rows:
        assert error == b""
        assert np.all(frame == colours[int(number)][::-1])
        assert np.all(target == colours[int(number)])
    assert bad == f"{tmp_path / 'none.png'}: no such file"


@pytest.mark.parametrize(
    ("name", "chunk", "said"),
    [
        ("hdr.png", b"cICP\x09\x10\0\1", ["its colours (BT.2020, PQ) are treated as sRGB"]),
        ("p3.png", b"cICP\x0c\x0d\0\1", ["its colours (Display P3) are treated as sRGB"]),
        ("srgb.png", b"cICP\1\x0d\0\1", []),
        (
            "hlg.avif",
            b"colrnclx\0\x09\0\x12",
            ["its colours (BT.2020, HLG) are treated as sRGB"],
        ),
        ("plain.avif", b"", []),
    ],
)
def test_colours_that_are_not_srgb_are_told(tmp_path, name, chunk, said):
    """As PNG's cICP chunk and AVIF's colour box state them (ITU-T H.273)."""
    path = tmp_path / name
    Image.fromarray(picture(1, 48, 64)).save(path)
    data = path.read_bytes()
    if name.endswith("png"):
        part = struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        path.write_bytes(data[:33] + part + data[33:])  # after the header
    elif chunk:
        at = data.index(b"colrnclx")
        path.write_bytes(data[:at] + chunk + data[at + len(chunk) :])
    assert read_picture(path).notes == said
