"""Videos as they are found: what is in them, their frames by number, and what is never opened."""

import contextlib
import os
import subprocess
import threading
import time

import numpy as np
import pytest

from common.base.errors import UserError
from common.base.parallel import Pool, parallel_map, read_ahead
from common.video.cuts import find_cuts
from common.video.ffmpeg import binary, find_reason, run
from common.video.frames import read_frames, read_planar
from common.video.pixel_formats import choose_coded, describe
from common.video.probe import probe
from common.video.scenes import Scene, find_scenes
from common.video.selection import cover, find_ranges
from tests.videos import ffmpeg, frames_by_ffmpeg

X264 = ("-c:v", "libx264", "-qp", 12, "-preset", "ultrafast", "-pix_fmt", "yuv420p")


@pytest.fixture(scope="module")
def many_scenes(tmp_path_factory):
    """2,000 scenes of five frames, a pattern of blocks each, at 10 frames per second."""
    path = tmp_path_factory.mktemp("many") / "many.mp4"
    words = [
        "-loglevel",
        "error",
        "-y",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-s",
        "64x36",
        "-r",
        "10",
        "-i",
        "-",
        "-c:v",
        "libx264",
    ]
    words += ["-qp", "10", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(path)]
    blocks = np.random.default_rng(0).integers(0, 256, (2000, 6, 8))
    with subprocess.Popen([binary("libx264"), *words], stdin=subprocess.PIPE) as process:
        for scene in blocks:
            frame = np.kron(scene, np.ones((6, 8))).astype(np.uint8)
            process.stdin.write(frame.tobytes() * 5)
    return path, blocks


def test_two_thousand_scenes_and_ten_thousand_frames(many_scenes):
    path, blocks = many_scenes
    video = probe(path)
    scenes = find_scenes(video)
    assert [(scene.first, scene.end) for scene in scenes] == [
        (first, first + 5) for first in range(0, 10_000, 5)
    ]
    numbers = [number for scene in scenes for number in scene.sample(5)]
    assert numbers == [*range(10_000)]
    # Also one of each scene: more frames that do not follow each other than one filter selects.
    for some in (numbers, [scene.first + 2 for scene in scenes]):
        frames = [*read_frames(video, some)]
        assert len(frames) == len(some)
        for number, frame in zip(some, frames):
            found = frame[3::6, 4::8].mean(axis=-1)  # the middles of the blocks
            # Grey of 0 to 255 became 16 to 235 and back.
            assert np.abs(found - blocks[number // 5]).max() < 16, number


def test_frames_are_those_that_ffmpeg_decodes(tmp_path):
    for pixel_format in ("yuv420p", "yuv422p10le", "yuv444p", "gray", "yuv411p", "gbrp", "bgr0"):
        path = tmp_path / f"{pixel_format}.mkv"
        source = ("-f", "lavfi", "-i", "mandelbrot=s=322x178", "-frames:v", 6)
        codec = ("-c:v", "ffv1" if pixel_format != "bgr0" else "ffvhuff", "-pix_fmt", pixel_format)
        ffmpeg(*source, *codec, path)
        video = probe(path)
        found = [*read_frames(video, [0, 2, 5])]
        expected = frames_by_ffmpeg(path, 322, 178)
        assert video.frames == 6 == len(expected)
        for frame, number in zip(found, (0, 2, 5)):
            assert np.array_equal(frame, expected[number]), pixel_format


# Two ways of reading: only the first one knows both BT.2020 matrices.
@pytest.mark.parametrize(
    ("pixel_format", "matrix", "other"),
    [("yuv422p10le", "bt2020nc", "bt2020c"), ("yuv440p", "bt709", "bt709")],
)
def test_tags_that_ffmpeg_does_not_convert(tmp_path, pixel_format, matrix, other):
    """Transfer functions change no pixels; of the two BT.2020 matrices, ffmpeg converts one."""
    source = ("-f", "lavfi", "-i", "mandelbrot=s=128x72", "-frames:v", 3)
    tagged = f"{other}:color_trc=log100:color_primaries=bt2020"
    for name, tags in (("plain", matrix), ("tagged", tagged), ("rare", "ictcp")):
        graph = f"format={pixel_format},setparams=colorspace={tags}"
        ffmpeg(*source, "-vf", graph, "-c:v", "ffv1", tmp_path / f"{name}.mkv")
    video = probe(tmp_path / "tagged.mkv")
    assert (video.format.transfer, video.format.primaries) == ("log100", "bt2020")
    expected = frames_by_ffmpeg(tmp_path / "plain.mkv", 128, 72)
    assert np.array_equal([*read_frames(video, [0, 1, 2])], expected)
    rare = probe(tmp_path / "rare.mkv")
    with pytest.raises(UserError, match=r"rare\.mkv: .*Impossible to convert"):
        next(read_frames(rare, [0]))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Make a file of parts with other colour tags or sizes, by copying streams."""
    folder = tmp_path_factory.mktemp("parts")

    def make(name: str, *kinds: tuple[str, str, str]):
        listed = []
        for number, (source, size, tag) in enumerate(kinds):
            part = folder / f"{name}{number}.ts"
            tags = f"format=yuv420p,setparams=colorspace={tag}"
            picture = ("-f", "lavfi", "-i", f"{source}=s={size}", "-t", 1, "-vf", tags)
            ffmpeg(*picture, *X264, "-f", "mpegts", part)
            listed.append(f"file {part.name}")
        (folder / f"{name}.txt").write_text("\n".join(listed))
        made = folder / f"{name}.mkv"
        ffmpeg("-f", "concat", "-i", folder / f"{name}.txt", "-c", "copy", made)
        return made

    return make


def test_colour_tags_that_change_move_no_frame_and_hide_no_cut(parts):
    kinds = [("testsrc2", "320x176"), ("mandelbrot", "320x176"), ("color", "320x176")]
    found = []
    for tags in (("unknown",) * 3, ("unknown", "bt709", "bt709"), ("smpte170m", "bt709", "fcc")):
        path = parts("-".join(tags), *((*kind, tag) for kind, tag in zip(kinds, tags)))
        video = probe(path)
        found.append([(scene.first, scene.end) for scene in find_scenes(video)])
        black = next(read_frames(video, [60]))
        assert black.max() <= 2, tags  # the third part is of one colour, black
        assert next(read_frames(video, [40])).max() > 100
    assert found[0] == [(0, 25), (25, 50), (50, 75)] == found[1] == found[2]


def test_a_size_that_changes_begins_a_scene_and_each_frame_has_its_own(parts):
    sizes = ("320x176", "480x264", "320x176")
    video = probe(parts("sizes", *(("testsrc2", size, "unknown") for size in sizes)))
    assert [(scene.first, scene.end) for scene in find_scenes(video)] == [
        (0, 25), (25, 50), (50, 75)
    ]  # fmt: skip
    shapes = [frame.shape for frame in read_frames(video, [3, 30, 49, 74])]
    assert shapes == [(176, 320, 3), (264, 480, 3), (264, 480, 3), (176, 320, 3)]


@pytest.mark.parametrize(
    ("name", "depth", "chroma", "rgb", "alpha", "x264", "x265", "svtav1"),
    [
        ("yuv420p", 8, "420", False, False, "yuv420p", "yuv420p", "yuv420p"),
        ("yuva444p12le", 12, "444", False, True, "yuv444p10le", "yuv444p12le", "yuv420p10le"),
        ("gray10le", 10, "gray", False, False, "yuv420p10le", "yuv420p10le", "yuv420p10le"),
        ("p010le", 10, "420", False, False, "yuv420p10le", "yuv420p10le", "yuv420p10le"),
        ("y210le", 10, "422", False, False, "yuv422p10le", "yuv422p10le", "yuv420p10le"),
        ("yuv440p12le", 12, "444", False, False, "yuv444p10le", "yuv444p12le", "yuv420p10le"),
        ("bgr0", 8, "444", True, False, "yuv420p", "yuv420p", "yuv420p"),
        ("gbrap12le", 12, "444", True, True, "yuv420p10le", "yuv420p12le", "yuv420p10le"),
        ("pal8", 8, "444", True, True, "yuv420p", "yuv420p", "yuv420p"),
        ("ya8", 8, "gray", False, True, "yuv420p", "yuv420p", "yuv420p"),
    ],
)
def test_pixel_formats_by_their_own_description(
    name, depth, chroma, rgb, alpha, x264, x265, svtav1
):
    assert describe(name) == (name, depth, chroma, rgb, alpha)
    coded = [choose_coded(name, f"lib{each}").name for each in ("x264", "x265", "svtav1")]
    assert coded == [x264, x265, svtav1]


def test_ranges_are_covered_by_fewer():
    numbers = [0, 1, 5, 6, 7, 20, 22, 40]
    ranges = find_ranges(numbers)
    assert ranges == [range(0, 2), range(5, 8), range(20, 21), range(22, 23), range(40, 41)]
    assert cover(ranges, 5) == ranges
    # The smallest gaps, of 1 and of 3 frames, are closed first.
    assert cover(ranges, 3) == [range(0, 8), range(20, 23), range(40, 41)]
    assert cover(ranges, 1) == [range(0, 41)]


def test_frames_are_passed_on_before_the_next_are_made(tmp_path):
    """Or what comes first would wait for a part of the video that nobody wants."""
    path = tmp_path / "in.nut"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=640x352:d=2", *X264, "-bf", 0, path)
    video, stream = probe(path), path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    seen, in_time = threading.Event(), []

    def send():
        with path.open("wb") as pipe:
            pipe.write(stream[: len(stream) * 3 // 4])
            pipe.flush()
            in_time.append(seen.wait(20))
            pipe.write(stream[len(stream) * 3 // 4 :])

    thread = threading.Thread(target=send)
    thread.start()
    frames = read_planar(video, [2, 3, 49])
    assert [next(frames)[0], next(frames)[0]] == [2, 3]
    seen.set()
    assert next(frames)[0] == 49
    thread.join()
    assert in_time == [True]


SLOW = ("-re", "-f", "lavfi", "-i", "testsrc2=d=60", "-f", "null", "-")


@pytest.mark.parametrize("nested", [False, True])
def test_reading_ahead_ends_soon_after_an_error(nested):
    """Its ffmpeg is killed, also that of a pool inside; no other child of this process is."""

    def items():
        yield "first"
        with Pool(1) as pool:
            pool.submit(run, SLOW).result() if nested else run(SLOW)

    before = time.monotonic()
    with subprocess.Popen(["sleep", "60"]) as other:
        with pytest.raises(KeyError), contextlib.closing(read_ahead(items())) as ahead:
            assert next(ahead) == "first"
            raise KeyError
        assert time.monotonic() - before < 20 and other.poll() is None
        other.kill()


def test_an_error_stops_work_side_by_side():
    def work(number):
        if number:
            run(SLOW)
        raise KeyError

    before = time.monotonic()
    with subprocess.Popen(["sleep", "60"]) as other:
        with pytest.raises(KeyError):
            parallel_map(work, range(4), "work")
        assert time.monotonic() - before < 20 and other.poll() is None
        other.kill()


def test_scenes_are_sampled_and_tried_in_their_middles():
    scene = Scene(10, 22, 0, 1)
    assert scene.sample(3) == [12, 16, 20]
    assert scene.middle(4) == range(14, 18)
    assert scene.middle(99) == range(10, 22)
    # 182 frames are before the middle, which are 45 groups of 4, and 2 more.
    assert Scene(100, 512, 0, 9).middle(48) == range(280, 328)
    # A part per 250 frames, three at most, which begin a whole number of groups after the scene.
    assert Scene(3, 253, 0, 9).middles(32) == [range(111, 143)]
    assert Scene(3, 254, 0, 9).middles(32) == [range(47, 79), range(171, 203)]
    assert [each.start for each in Scene(3, 9003, 0, 9).middles(32)] == [1487, 4487, 7487]


def test_cuts_of_thumbnails():
    """Cuts, also of dark pictures, and fades; not flashes, flickers to black, and noise."""
    random = np.random.default_rng(0)
    one, other, third = random.integers(40, 200, (3, 1, 144))

    def cuts(*parts):
        frames = np.concatenate([part.repeat(count, axis=0) for part, count in parts])
        noisy = np.clip(frames + random.integers(-2, 3, frames.shape), 0, 255).astype(np.uint8)
        return find_cuts(noisy, [number / 25 for number in range(len(noisy) + 1)])

    assert cuts((one, 30), (other, 30), (third, 30)) == [30, 60]
    assert cuts((one // 4, 30), (other // 4, 30)) == [30]
    white, black = np.full_like(one, 255), np.full_like(one, 8)
    for flash in (white, black, other):
        for count in (1, 2, 3):
            assert cuts((one, 30), (flash, count), (one, 30)) == []
            assert cuts((one, 30), (flash, count), (one, 30), (other, 30)) == [60 + count]
    assert cuts((one, 30), (white, 2), (other, 30)) in ([30], [32], [30, 32])
    fade = [(one * part // 20, 1) for part in range(20, 0, -1)]
    rise = [(other * part // 20, 1) for part in range(1, 21)]
    (cut,) = cuts((one, 30), *fade, (black, 6), *rise, (other, 30))
    assert 56 <= cut <= 62
    assert cuts((one, 1)) == [] == cuts((black, 30))


# What is no video, or none to be opened


MANIFESTS = {
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
    "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "concat": "ffconcat version 1.0\nfile {}\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_no_file_names_another_one_to_be_read(tmp_path, kind):
    secret = tmp_path / "secret.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:d=0.2", *X264, secret)
    upload = tmp_path / "upload.mp4"
    upload.write_text(MANIFESTS[kind].format(secret))
    with pytest.raises(UserError, match=r"upload\.mp4: cannot be read as a video"):
        probe(upload)


def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UserError, match="save it as a file first"):
        probe(tmp_path / "pipe.mp4")
    with pytest.raises(UserError, match="not a regular file"):
        probe(tmp_path / "../../../../../../../../../dev/zero")


def test_why_a_video_cannot_be_read(tmp_path):
    full = tmp_path / "full.ts"
    shapes = ("-f", "lavfi", "-i", "testsrc2=s=320x176:d=2")
    ffmpeg(*shapes, "-c:v", "libx264", "-g", 12, "-bf", 2, "-qp", 10, "-f", "mpegts", full)
    data = full.read_bytes()
    packets = len(data) // 188
    cases = {
        "middle.ts": (data[:564] + data[188 * (packets // 7) :], "begins between two key frames"),
        "zeros.ts": (data[: len(data) // 2] + bytes(3000) + data[len(data) // 2 + 3000 :],
                     "damaged 0.[89] s after its start"),
        "words.mp4": (b"hello", "its content is not that of a video"),
        "empty.mp4": (b"", "it is empty"),
    }  # fmt: skip
    for name, (content, why) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=why):
            probe(tmp_path / name)
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", tmp_path / "sound.m4a")
    with pytest.raises(UserError, match="no video in it, but audio"):
        probe(tmp_path / "sound.m4a")
    # What the message says to do mends it.
    ffmpeg("-i", tmp_path / "middle.ts", "-map", 0, "-c", "copy", tmp_path / "mended.ts")
    assert 30 < probe(tmp_path / "mended.ts").frames < 50


SOUND = ("-f", "lavfi", "-i", "sine=d=2", "-c:a", "flac")


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", X264), (".ogv", ("-c:v", "libtheora"))])
def test_no_part_of_a_damaged_container_is_lost_in_silence(tmp_path, suffix, codec):
    """Of Matroska and Ogg, ffmpeg leaves out what it cannot read, and succeeds."""
    whole, damaged = tmp_path / f"whole{suffix}", tmp_path / f"damaged{suffix}"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x96:d=2", *SOUND, *codec, whole)
    assert probe(whole).frames == 50
    refused = []
    for place in np.linspace(0.1, 0.95, 20):
        data = bytearray(whole.read_bytes())
        start = int(place * len(data))
        data[start : start + 900] = b"U" * 900
        damaged.write_bytes(data)
        try:
            assert probe(damaged).frames == 50
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 10 and any("leaves out what is damaged" in each for each in refused)


def test_what_is_no_damage(tmp_path):
    """Zeros after a live recording, and names that read like messages of ffmpeg."""
    source = ("-f", "lavfi", "-i", "testsrc2=s=160x96:d=2", *SOUND, *X264)
    live, named = tmp_path / "live.mkv", tmp_path / "EBML number CRC mismatch.ogv"
    ffmpeg(*source, "-live", 1, live)
    ffmpeg(*source[:4], "-c:v", "libtheora", "-metadata", "title=[ogg] CRC mismatch!", named)
    with live.open("ab") as file:
        file.write(bytes(5000))
    assert probe(live).frames == probe(named).frames == 50
    with live.open("ab") as file:
        file.write(b"garbage")
    with pytest.raises(UserError, match="damaged"):
        probe(live)


def test_the_reason_is_the_first_line_that_is_no_consequence():
    said = b"""[h264 @ 0x55] error while decoding MB 15 7, bytestream -8
[vist#0:0/h264 @ 0x55] [dec:h264 @ 0x56] Error submitting packet to decoder: Invalid data
[out#0/null @ 0x55] Nothing was written into output file
Conversion failed!"""
    assert find_reason(said) == "error while decoding MB 15 7, bytestream -8"
    assert find_reason(b"Conversion failed!\n") == "Conversion failed!"
    assert find_reason(b"") == ""


@pytest.mark.parametrize("sizes", [("176x320", "320x176", "176x320"), ("320x240", "320x176")])
def test_an_aspect_that_changes(parts, sizes):
    """Which made ffmpeg compare pictures of two heights, and crash at times."""
    video = probe(parts("aspect", *(("testsrc2", size, "unknown") for size in sizes)))
    assert [scene.first for scene in find_scenes(video)] == [0, 25, 50][: len(sizes)]
