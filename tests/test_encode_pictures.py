"""`encode` of pictures: what ffmpeg and Pillow say of the files that come out."""

import json
import re
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from PIL import Image, ImageCms, JpegImagePlugin, TiffImagePlugin
from PIL.ExifTags import IFD
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from common.encoding.originals import read_original
from common.encoding.picture_files import decode_picture, encode_picture
from common.encoding.picture_formats import find_format
from common.encoding.quality_search import CLOSE, Trial, find_quality, select_trial
from tests import golden
from tests.processes import one_line
from tests.videos import ffmpeg

ORIENTATION, ARTIST, EXPOSURE, DESCRIPTION, IPTC = 274, 315, 33434, 270, 33723  # EXIF tags
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><!-- ours --></x:xmpmeta>"
WANTED = 88.5  # VMAF at JND1


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Waves and noise: RGB, uint8 [352, 640, 3]."""
    return golden.frames(1)[0][..., ::-1]


@pytest.fixture
def photo(pixels, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def jpeg_weights(weights, tmp_path):
    """LAT's golden weights for JND1, labelled as of JPEG qualities by viewers."""
    path = tmp_path / "weights" / "LATJND1-jpeg.h5"
    path.parent.mkdir()
    path.write_bytes(weights.read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs["labels_codec"] = "JPEG quality"
    return path


@pytest.fixture
def encode(in_process):
    def run(source, target, *more):
        return in_process("MJLAT.py", "encode", source, target, *more)

    return run


def tell(done) -> dict:
    """The document of a run that succeeded."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def vmaf_by_ffmpeg(original, coded) -> float:
    """VMAF as ffmpeg's own command line gives it for two picture files."""
    to_yuv = "scale=out_color_matrix=bt601:out_range=tv:flags=bicubic+accurate_rnd,format=yuv420p"
    graph = f"[0]format=rgb24,{to_yuv}[a];[1]format=rgb24,{to_yuv}[b];[a][b]libvmaf"
    said = ffmpeg("-i", coded, "-i", original, "-lavfi", graph, "-f", "null", "-").decode()
    return float(re.search(r"VMAF score: (\S+)", said)[1])


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_a_picture_has_the_vmaf_of_its_level(encode, photo, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    document = tell(encode(photo, out, "--json"))
    (row,) = document["pictures"]
    assert document["vmaf_wanted"] == WANTED and abs(row["vmaf"] - WANTED) < 1
    assert document["model"] == "MJ-LAT" and 1 <= row["level"] <= 100
    assert row["output_bytes"] == out.stat().st_size == document["output_bytes"]
    assert row["input_bytes"] == photo.stat().st_size
    with Image.open(out) as image:
        assert image.size == (640, 352)
        image.convert("RGB").save(tmp_path / "decoded.png")
    assert vmaf_by_ffmpeg(photo, tmp_path / "decoded.png") == pytest.approx(row["vmaf"], abs=0.3)


def test_a_further_level_takes_fewer_bytes(encode, photo, tmp_path):
    sizes, qualities = [], []
    for level in ("JND1", "JND2", "JND3"):
        out = tmp_path / f"{level}.jpg"
        (row,) = tell(encode(photo, out, "--jnd_value", level, "--json"))["pictures"]
        sizes.append(out.stat().st_size)
        qualities.append(row["quality"])
    assert sizes == sorted(sizes, reverse=True) and qualities == sorted(qualities, reverse=True)
    assert len(set(qualities)) == 3


def test_a_vmaf_in_place_of_a_level(encode, photo, tmp_path):
    document = tell(encode(photo, tmp_path / "out.jpg", "--vmaf", 94, "--json"))
    assert document["vmaf_wanted"] == 94
    assert document["pictures"][0]["vmaf"] == pytest.approx(94, abs=1)
    (row,) = tell(encode(photo, tmp_path / "low.jpg", "--vmaf", 5, "--json"))["pictures"]
    assert row["quality"] == 10 and row["notes"] == [
        f"VMAF is {row['vmaf']:.1f} even at quality 10"
    ]


def test_orientation_is_applied_once_and_metadata_kept(encode, pixels, tmp_path):
    photo, out = tmp_path / "photo.jpg", tmp_path / "out.jpg"
    exif = Image.Exif()
    exif[ORIENTATION], exif[ARTIST] = 6, "A. Nother"
    image = Image.fromarray(pixels)
    image.save(photo, quality=98, exif=exif, xmp=XMP, icc_profile=SRGB)
    tell(encode(photo, out, "--json"))
    with Image.open(out) as made:
        assert made.size == (352, 640)
        assert made.getexif().get(ORIENTATION, 1) == 1 and made.getexif()[ARTIST] == "A. Nother"
        assert made.info["icc_profile"] == SRGB and made.info["xmp"] == XMP
        shown = np.asarray(made, np.float64)
    turned = np.rot90(pixels, -1)  # orientation 6: shown turned by 90 degrees clockwise
    assert np.abs(shown - turned).mean() < 20 < np.abs(shown - np.rot90(pixels)).mean()


def test_damaged_exif_turns_the_picture_and_is_left_out(encode, pixels, tmp_path):
    """Orientation 6, and an artist who is a fraction, which Pillow reads and cannot write."""
    photo, out = tmp_path / "photo.jpg", tmp_path / "out.jpg"
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2)
    exif += struct.pack("<HHII", ORIENTATION, 3, 1, 6) + struct.pack("<HHII", ARTIST, 5, 1, 38)
    exif += struct.pack("<III", 0, 1, 2)
    Image.fromarray(pixels).save(photo, quality=98, exif=exif, xmp=XMP)
    (row,) = tell(encode(photo, out, "--json"))["pictures"]
    assert row["notes"] == ["its EXIF and XMP are left out, since EXIF is damaged"]
    with Image.open(out) as made:
        shown = np.asarray(made, np.float64)
        assert not made.getexif() and "xmp" not in made.info
    assert np.abs(shown - np.rot90(pixels, -1)).mean() < 20
    photo.write_bytes(photo.read_bytes()[:-200])
    one_line(encode(photo, tmp_path / "cut.jpg"), 1, "photo.jpg: cannot be read as an image")


def test_exif_of_a_tiff_is_kept_and_how_it_stores_pixels_is_not(encode, pixels, tmp_path):
    photo, out = tmp_path / "photo.tif", tmp_path / "out.jpg"
    exif = Image.Exif()
    exif[ORIENTATION], exif[ARTIST] = 6, "A. Nother"
    exif[IFD.Exif], exif[IFD.GPSInfo] = {EXPOSURE: 0.01}, {1: "N", 2: (50.0, 1.0, 2.0)}
    Image.fromarray(pixels).save(photo, exif=exif.tobytes())
    (row,) = tell(encode(photo, out, "--json"))["pictures"]
    assert row["notes"] == []
    with Image.open(out) as made:
        found = made.getexif()
        assert made.size == (352, 640)
        assert {*found} == {ARTIST, IFD.Exif, IFD.GPSInfo} and found[ARTIST] == "A. Nother"
        assert found.get_ifd(IFD.Exif) == {EXPOSURE: pytest.approx(0.01)}
        assert found.get_ifd(IFD.GPSInfo) == {1: "N", 2: (50.0, 1.0, 2.0)}


def test_a_damaged_part_of_a_tiffs_exif_is_left_out(encode, pixels, tmp_path):
    photo, out = tmp_path / "photo.tif", tmp_path / "out.jpg"
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ARTIST], tags[DESCRIPTION], tags[IPTC] = IFDRational(1, 2), "a lake", b"\x1c\2\x78\0\3abc"
    tags.tagtype[ARTIST] = 5
    Image.fromarray(pixels).save(photo, tiffinfo=tags)
    (row,) = tell(encode(photo, out, "--json"))["pictures"]
    assert row["notes"] == [
        "a damaged part of its EXIF is left out",
        "its IPTC metadata is left out",
    ]
    with Image.open(out) as made:
        assert dict(made.getexif()) == {DESCRIPTION: "a lake"}


def test_what_else_a_jpeg_says(encode, photo, pixels, tmp_path):
    """Resolution and comment stay; IPTC cannot; a damaged profile is told as such."""
    jpeg, out = tmp_path / "a.jpg", tmp_path / "out.jpg"
    Image.fromarray(pixels).save(jpeg, quality=98, dpi=(300, 240), comment=b"by hand")
    data = jpeg.read_bytes()
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", 8) + b"\x1c\2\x78\0\3abc"
    profile = b"ICC_PROFILE\0\1\1" + b"garbage" * 40
    for mark, part in ((0xED, iptc), (0xE2, profile)):
        data = data[:2] + struct.pack(">BBH", 255, mark, len(part) + 2) + part + data[2:]
    jpeg.write_bytes(data)
    (row,) = tell(encode(jpeg, out, "--json"))["pictures"]
    assert row["notes"] == [
        "its colour profile is damaged, and left out",
        "its IPTC metadata is left out",
    ]
    with Image.open(out) as made:
        assert (made.info["dpi"], made.info["comment"]) == ((300, 240), b"by hand")
        assert "icc_profile" not in made.info
    tell(encode(jpeg, tmp_path / "out.webp", "--json"))


def test_what_no_jpeg_can_hold_is_left_out(encode, pixels, tmp_path):
    """A resolution that is text, none, or too fine; long comments of other formats."""
    text, image = PngInfo(), Image.fromarray(pixels)
    text.add_text("dpi", "300")
    image.save(tmp_path / "a.png", pnginfo=text)
    image.save(tmp_path / "b.tif")
    image.save(tmp_path / "c.tif", dpi=(100_000, 100_000))
    image.save(tmp_path / "d.gif", comment=b"c" * 70_000)
    for name in ("a.png", "b.tif", "c.tif", "d.gif"):
        tell(encode(tmp_path / name, tmp_path / f"{name}.jpg", "--json"))
        with Image.open(tmp_path / f"{name}.jpg") as made:
            assert "dpi" not in made.info and "comment" not in made.info


def test_what_a_format_cannot_hold_and_what_grows_is_told(encode, pixels, tmp_path):
    wide, lines = tmp_path / "wide.png", tmp_path / "lines.png"
    Image.new("1", (65501, 40)).save(wide)
    one_line(encode(wide, tmp_path / "a.jpg"), 1, "wide.png", "JPEG has at most 65500 pixels")
    Image.fromarray(pixels).convert("1").save(lines)
    (row,) = tell(encode(lines, tmp_path / "b.jpg", "--json"))["pictures"]
    assert (
        row["notes"][-1] == "larger than its PNG file" and row["output_bytes"] > row["input_bytes"]
    )


def test_pictures_beyond_pillows_limit_are_encoded(photo, pixels, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    original = read_original(photo)
    assert np.array_equal(original.rgb, pixels)
    coded = decode_picture(encode_picture(original, find_format(Path("a.jpg")), 98, "4:4:4"))
    assert np.abs(coded - pixels.astype(float)).mean() < 5


def test_transparency_is_white_in_jpeg_and_kept_in_webp(encode, pixels, tmp_path):
    photo = tmp_path / "logo.png"
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    rgba[:100, :, :3], rgba[:100, :, 3] = (200, 0, 0), 0
    rgba[100:200, :, 3] = 128
    Image.fromarray(rgba).save(photo)
    document = tell(encode(photo, tmp_path / "out.jpg", "--json"))
    (row,) = document["pictures"]
    assert any("white" in note for note in row["notes"])
    with Image.open(tmp_path / "out.jpg") as made:
        assert np.asarray(made)[:90].min() > 240
        half = np.asarray(made, np.float64)[104:196].mean()
    assert half == pytest.approx(pixels[104:196].mean() * 128 / 255 + 255 * 127 / 255, abs=3)
    (row,) = tell(encode(photo, tmp_path / "out.webp", "--json"))["pictures"]
    assert row["notes"] == []
    with Image.open(tmp_path / "out.webp") as made:
        assert np.array_equal(np.asarray(made)[..., 3], rgba[..., 3])


def test_chroma_and_grey(encode, photo, pixels, tmp_path):
    full, half = tmp_path / "full.jpg", tmp_path / "half.jpg"
    tell(encode(photo, full, "--subsampling", "4:4:4", "--json"))
    tell(encode(photo, half, "--json"))
    samplings = [JpegImagePlugin.get_sampling(Image.open(path)) for path in (full, half)]
    assert samplings == [0, 2]  # Pillow's numbers of 4:4:4 and 4:2:0
    grey, out = tmp_path / "grey.png", tmp_path / "grey.jpg"
    Image.fromarray(pixels[..., 1].copy()).save(grey)
    tell(encode(grey, out, "--json"))
    assert Image.open(out).mode == "L"
    one_line(encode(photo, tmp_path / "o.webp", "--subsampling", "4:4:4"), 2, "WEBP", "4:2:0")


def test_a_profile_of_other_colours_is_not_kept(encode, pixels, tmp_path):
    photo, out = tmp_path / "print.jpg", tmp_path / "out.jpg"
    profile = bytearray(SRGB)
    profile[16:20] = b"CMYK"
    image = Image.fromarray(pixels).convert("CMYK")
    image.save(photo, quality=98, icc_profile=bytes(profile))
    (row,) = tell(encode(photo, out, "--json"))["pictures"]
    assert any("CMYK" in note for note in row["notes"])
    with Image.open(out) as made:
        assert made.mode == "RGB" and "icc_profile" not in made.info


def test_a_folder(encode, pixels, photo, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "trip").mkdir(parents=True)
    (folder / "a.png").write_bytes(photo.read_bytes())
    (folder / "trip" / "b.png").write_bytes(photo.read_bytes())
    (folder / "broken.png").write_bytes(photo.read_bytes()[:20_000])
    (folder / "notes.txt").write_text("not a picture")
    done = encode(folder, out, "--json")
    assert done.returncode == 1 and "broken.png" in done.stderr
    document = json.loads(done.stdout)
    assert [row["output"] for row in document["pictures"]] == [
        str(out / "a.jpg"),
        str(out / "trip" / "b.jpg"),
    ]
    (error,) = document["errors"]
    assert error["file"] == str(folder / "broken.png") and "cannot be read" in error["error"]
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == ["a.jpg", "trip/b.jpg"]
    # Again: what is there stays, and what is missing is made.
    (out / "a.jpg").write_bytes(b"precious")
    (out / "trip" / "b.jpg").unlink()
    done = encode(folder, out)
    assert done.returncode == 1 and "--overwrite" in done.stderr and "1 picture:" in done.stdout
    assert (out / "a.jpg").read_bytes() == b"precious" and (out / "trip" / "b.jpg").exists()
    assert encode(folder, out, "--overwrite", "--format", "webp").returncode == 1
    assert Image.open(out / "a.webp").format == "WEBP"


def test_mistakes_are_told_and_nothing_is_written(encode, photo, tmp_path):
    inside, out = tmp_path / "photos", tmp_path / "out.jpg"
    inside.mkdir()
    (inside / "a.png").write_bytes(photo.read_bytes())
    (inside / "a.bmp").write_bytes(photo.read_bytes())
    one_line(encode(inside, tmp_path / "new"), 1, "a.png", "a.bmp", "would both become")
    for name in ("b.png", "b.tif", "b.gif"):
        (inside / name).write_bytes(photo.read_bytes())
    one_line(encode(inside, tmp_path / "new"), 1, "would both become", "and 2 more likewise")
    for path in inside.glob("[ab].[!p]*"):
        path.unlink()
    one_line(encode(photo, inside, "--json", out), 2, "encode: error", out, "before or after all")
    one_line(encode(inside, inside / "small"), 1, "inside the folder of the inputs")
    one_line(encode(inside, photo), 1, photo, "is a file")
    one_line(encode(photo, tmp_path / "out.gif"), 1, "out.gif", ".jpg, .jpeg, .webp, .avif")
    one_line(encode(photo, out, "--encoder", "x265"), 2, "--encoder", "videos")
    out.write_bytes(b"precious")
    one_line(encode(photo, out), 1, out, "--overwrite")
    jpeg = tmp_path / "own.jpg"
    Image.open(photo).save(jpeg, quality=95)
    before = jpeg.read_bytes()
    one_line(encode(jpeg, jpeg, "--overwrite"), 1, "never overwritten")
    assert jpeg.read_bytes() == before and out.read_bytes() == b"precious"
    document = tell(encode(photo, out, "--dry_run", "--json"))
    assert document["output_bytes"] > 1000 and out.read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == "."] == []


def test_a_jpeg_that_would_grow_is_copied(encode, pixels, tmp_path):
    coarse, out = tmp_path / "coarse.jpg", tmp_path / "out.jpg"
    Image.fromarray(pixels).save(coarse, quality=12, optimize=True, progressive=True)
    (row,) = tell(encode(coarse, out, "--json"))["pictures"]
    assert out.read_bytes() == coarse.read_bytes()
    assert row["quality"] is None and "copied" in row["notes"][0]


def test_the_search_begins_with_the_models_level(in_process, jpeg_weights, photo, tmp_path):
    def encode(out, weights, *more):
        given = ("--jnd_value", "JND1", "--model_weights_path", weights, "--json")
        return in_process("LAT.py", "encode", photo, tmp_path / out, *given, *more)

    document = tell(encode("a.jpg", jpeg_weights.parent, "--no_verify"))
    (row,) = document["pictures"]
    assert document["weights"] == str(jpeg_weights) and row["trials"] == 1
    assert row["quality"] == min(max(round(row["level"]), 10), 100) and row["vmaf"] is None
    # The weight file records no thresholds: other formats get the VMAF of JPEG at the level.
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.png")
    wanted = vmaf_by_ffmpeg(photo, tmp_path / "a.png")
    (row,) = tell(encode("a.webp", jpeg_weights.parent))["pictures"]
    assert row["vmaf"] == pytest.approx(wanted, abs=1)


def test_a_folder_of_qps_leaves_pictures_to_the_search(encode, photo, weights, tmp_path):
    """As one without any model of JPEG qualities, so that videos beside them are encoded."""
    folder = tmp_path / "trained"
    folder.mkdir()
    golden.write_weights("MJLAT", folder / "BestModel.h5")
    with h5py.File(folder / "BestModel.h5", "a") as file:
        file.attrs["labels_codec"] = "H.264 QP"
    done = encode(photo, tmp_path / "out.jpg", "--json", "--model_weights_path", folder)
    document = tell(done)
    (row,) = document["pictures"]
    assert document["weights"] is None and row["level"] is None and abs(row["vmaf"] - WANTED) < 1


def test_a_phones_jpeg_is_a_jpeg(encode, pixels, tmp_path):
    """Its format is MPO: a JPEG with further pictures behind it."""
    image, path = Image.fromarray(pixels), tmp_path / "phone.jpg"
    more = {"save_all": True, "append_images": [image.resize((40, 22))], "comment": b"ours"}
    image.save(path, "MPO", quality=8, **more)
    with Image.open(path) as phone:
        assert phone.format == "MPO"
    (row,) = tell(encode(path, tmp_path / "out.jpg", "--json"))["pictures"]
    assert row["quality"] is None and (tmp_path / "out.jpg").read_bytes() == path.read_bytes()
    image.save(path, "MPO", quality=98, **more)
    tell(encode(path, tmp_path / "b.jpg", "--json"))
    with Image.open(tmp_path / "b.jpg") as made:
        assert (made.format, made.info["comment"]) == ("JPEG", b"ours")


def test_qps_are_no_qualities(in_process, weights, photo, tmp_path):
    given = ("--jnd_value", "JND1", "--model_weights_path", weights)
    with h5py.File(tmp_path / "qp.h5", "w"):
        pass
    qp = tmp_path / "qp.h5"
    qp.write_bytes(weights.read_bytes())
    with h5py.File(qp, "a") as file:
        file.attrs["labels_codec"] = "H.264 QP"
    given = ("--jnd_value", "JND1", "--model_weights_path", qp)
    done = in_process("LAT.py", "encode", photo, tmp_path / "out.jpg", *given)
    one_line(done, 1, qp, "JPEG qualities")


@pytest.mark.parametrize("size", [(20, 20), (33, 47)])
def test_small_and_odd_pictures(encode, pixels, tmp_path, size):
    small, out = tmp_path / "small.png", tmp_path / "out.jpg"
    Image.fromarray(pixels[: size[0], : size[1]].copy()).save(small)
    (row,) = tell(encode(small, out, "--json"))["pictures"]
    assert Image.open(out).size == size[::-1]
    assert (row["vmaf"] is None) == (min(size) < 32)


@pytest.mark.parametrize("model", ["LAT.py", "MJLAT.py"])  # without and with default weights
def test_a_flat_picture_has_the_first_quality(in_process, tmp_path, model):
    flat, out = tmp_path / "flat.png", tmp_path / "out.jpg"
    Image.new("RGB", (320, 240), (90, 120, 150)).save(flat)
    document = tell(in_process(model, "encode", flat, out, "--jnd_value", "JND1", "--json"))
    (row,) = document["pictures"]
    assert (row["level"] is None) == (document["model"] is None) == (model == "LAT.py")
    assert row["quality"] == (31 if row["level"] is None else round(row["level"]))
    assert row["vmaf"] > 95
    assert "even at quality 10; the first is taken" in row["notes"][0]


CURVES = some.tuples(some.floats(12, 60), some.floats(0.5, 4), some.floats(0, 0.3))


@given(CURVES, some.floats(50, 95), some.integers(10, 95))
@example((12.0, 0.5, 0.25), 88.0, 10)  # quality 11 is worse than 10
def test_the_search_finds_the_nearest_quality(curve, wanted, first):
    """On rising, slightly wavy curves of many shapes: within `CLOSE`, or at a neighbour."""
    height, power, wave = curve

    def vmaf(quality: int) -> float:
        return 99 - height * ((101 - quality) / 91) ** power + wave * np.sin(quality)

    allowed = range(10, 101)
    trials = find_quality(
        lambda quality: Trial(quality, b"", vmaf(quality)), wanted, first, allowed
    )
    assert len({trial.quality for trial in trials}) == len(trials) <= 12
    best = min(abs(trial.vmaf - wanted) for trial in trials)
    reachable = min(abs(vmaf(quality) - wanted) for quality in allowed)
    step = max(abs(vmaf(quality) - vmaf(quality + 1)) for quality in range(10, 100))
    assert best <= max(CLOSE, reachable + step)


@pytest.mark.parametrize(
    ("vmaf", "lowest_counts", "quality", "said"),
    [
        ({40: 92.0, 30: 88.4, 31: 90.1}, False, 30, ""),
        ({40: 97.0, 17: 81.5, 18: 96.1}, False, 18, "it jumps past 88.5"),  # farther, but better
        ({40: 93.3, 11: 77.3, 17: 89.6, 16: 89.7, 15: 84.2}, False, 16, "it jumps past 88.5"),
        ({60: 80.0, 100: 86.0, 99: 86.1}, False, 99, "the best is 86.1"),
        ({36: 98.0, 18: 97.0, 10: 96.5}, False, 36, "even at quality 10; the first is taken"),
        ({36: 98.0, 18: 97.0, 10: 96.5}, True, 10, "even at quality 10"),
    ],
)
def test_which_trial_is_used(vmaf, lowest_counts, quality, said):
    trials = [Trial(tried, b"", reached) for tried, reached in vmaf.items()]
    best, notes = select_trial(trials, 88.5, lowest_counts)
    assert best.quality == quality and (said in notes[0] if said else not notes)
