"""`encode` and containers: streams, metadata, covers, subtitles and durations stay."""

import re
from datetime import datetime

import numpy as np
import pytest
from PIL import Image

from common.base.errors import UserError
from common.encoding.containers import CONTAINERS, check_container, find_container
from common.encoding.encoders import ENCODERS, Coding
from common.encoding.raw import choose_raw
from common.video.probe import probe
from tests.videos import (
    deliver_plainly,
    ffmpeg,
    streams,
    times,
)

X264 = ("-c:v", "libx264", "-qp", 12, "-preset", "ultrafast")
SHAPES = ("-f", "lavfi", "-i", "testsrc2=s=320x176:d=0.4")


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """A film with two languages, a subtitle, a cover, and mkvmerge's statistics."""
    folder = tmp_path_factory.mktemp("rich")
    (folder / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nHello\n\n")
    Image.new("RGB", (64, 64), "red").save(folder / "cover.jpg")
    sounds = ("-f", "lavfi", "-i", "sine=300:d=0.4", "-f", "lavfi", "-i", "sine=900:d=0.4")
    inputs = (*SHAPES, *sounds, "-i", folder / "s.srt", "-i", folder / "cover.jpg")
    mapped = [word for number in range(5) for word in ("-map", number)]
    told = ("-metadata:s:a:0", "language=fra", "-metadata:s:a:1", "language=ita")
    told += ("-metadata:s:v:0", "title=Main", "-metadata:s:s:0", "language=ita")
    picture = ("-c:v:0", "libx264", "-pix_fmt:v:0", "yuv420p", "-c:v:1", "copy")
    film = ("-c:a", "aac", "-c:s", "mov_text", "-disposition:v:1", "attached_pic")
    ffmpeg(*inputs, *mapped, *told, *picture, *film, folder / "film.mp4")
    stale = ("-metadata:s:v:0", "BPS=99999999", "-metadata:s:v:0", "_STATISTICS_TAGS=BPS")
    stale += ("-metadata:s:v:0", "NUMBER_OF_FRAMES-eng=7", "-metadata:s:a:0", "BPS=64000")
    ffmpeg("-i", folder / "film.mp4", "-map", "0:V", "-map", "0:a", "-c", "copy", *stale,
           folder / "statistics.mkv")  # fmt: skip
    return folder


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_all_streams_stay_with_what_is_said_of_them(rich, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    notes = deliver_plainly(rich / "film.mp4", out)
    said = streams(out)
    assert re.findall(r"Stream #0:\d+(?:\[\w+\])?\((\w+)\): Audio", said) == ["fra", "ita"]
    subtitles = re.findall(r"\((\w+)\): Subtitle: (\w+)", said)
    assert subtitles == [("ita", "subrip" if suffix == ".mkv" else "mov_text")]
    assert ("mov_text subtitles become srt" in notes) == (suffix == ".mkv")
    assert len(re.findall(r"Video: (?!mjpeg)", said)) == 1
    left_out = "the cover picture is left out: this container supports none"
    assert (left_out in notes) == (suffix == ".mov")
    assert bool(re.findall(r"Video: mjpeg.*\(attached pic\)", said)) == (suffix != ".mov")
    assert times(out) == pytest.approx(times(rich / "film.mp4"), abs=2e-3)
    if suffix == ".mkv":
        # A picture that is attached, not a second video of one frame.
        assert re.search(r"mimetype +: image/jpeg", said)
        assert len(re.findall(r"Video: mjpeg", said)) == 1


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
def test_names_of_phones_and_the_tag_of_apples_players(base, tmp_path, suffix):
    """Metadata as an iPhone writes it, a timecode, and HEVC as hvc1, which QuickTime plays."""
    named, out = tmp_path / "in.mov", tmp_path / f"out{suffix}"
    name = ("-metadata", "com.apple.quicktime.make=Apple", "-metadata", "title=Lake")
    made = ("-timecode", "01:00:00:00", "-movflags", "use_metadata_tags")
    ffmpeg("-i", base, "-map", "0:V:0", "-c", "copy", *name, *made, named)
    assert deliver_plainly(named, out, "x265", 30) == []
    said = streams(out)
    assert re.search(r"com\.apple\.quicktime\.make *: Apple", said) and "01:00:00:00" in said
    assert re.search(r"title *: Lake", said) and "(hvc1 /" in said


def test_metadata_of_phones_encoded_twice(base, tmp_path):
    """Once more it has one creation time, which players find in the header, and one brand."""
    first, second, third = (tmp_path / f"{name}.mp4" for name in ("phone", "once", "twice"))
    told = ("com.android.version=14", "creation_time=2024-05-05T10:00:00Z")
    made = [word for each in told for word in ("-metadata", each)]
    ffmpeg("-i", base, "-c", "copy", *made, "-movflags", "use_metadata_tags", first)
    deliver_plainly(first, second)
    deliver_plainly(second, third)
    said = streams(third)
    assert re.search(r"com\.android\.version *: 14", said) and "isom;" not in said
    header = third.read_bytes().partition(b"mvhd")[2]
    seconds = datetime(2024, 5, 5, 10) - datetime(1904, 1, 1)
    assert int.from_bytes(header[4:8], "big") == seconds.total_seconds()


def test_titles_and_covers_of_mp4_stay_where_players_look(base, tmp_path):
    """Whatever else is said: a link in a description, or a phone's own metadata."""
    cover, path, out = tmp_path / "cover.png", tmp_path / "in.mp4", tmp_path / "out.mp4"
    Image.new("RGB", (32, 32), "red").save(cover)
    named = ("-metadata", "title=Lake", "-metadata", "description=See\nhttps://example.org/?v=1")
    ffmpeg("-i", base, "-c", "copy", *named, path)
    deliver_plainly(path, out)
    assert b"\xa9nam" in out.read_bytes()
    path, out = tmp_path / "in.mkv", tmp_path / "covered.mp4"
    named = ("-metadata", "title=Lake", "-metadata", "com.android.version=14")
    covered = ("-attach", cover, "-metadata:s:t", "mimetype=image/png")
    ffmpeg("-i", base, "-c", "copy", *named, *covered, path)
    deliver_plainly(path, out)
    assert b"covr" in out.read_bytes() and b"\xa9nam" in out.read_bytes()


def test_statistics_of_the_old_stream_go_and_those_of_others_stay(rich, tmp_path):
    out = tmp_path / "out.mkv"
    deliver_plainly(rich / "statistics.mkv", out)
    video, sound = streams(out).split("Stream #0:1")
    assert "BPS" in sound
    assert not re.search(r"BPS|_STATISTICS|NUMBER_OF", video)


def test_what_a_container_cannot_hold_is_known_before_any_work(rich, tmp_path):
    film = choose_raw(probe(rich / "film.mp4"), "x264")
    with pytest.raises(UserError, match=r"out\.webm: cannot hold .*\.mkv.* can$"):
        check_container(film, tmp_path / "out.webm", Coding(ENCODERS["x264"]))
    with pytest.raises(UserError, match=r"\.mp4.*\.mkv"):
        find_container(tmp_path / "out")
    for name in ("out.m3u8", "-", "out.gif", "out.mpd"):
        with pytest.raises(UserError, match="names no container"):
            find_container(tmp_path / name)
    assert [*tmp_path.iterdir()] == []
    for suffix in (".mp4", ".mkv", ".mov"):
        assert (
            check_container(film, tmp_path / f"out{suffix}", Coding(ENCODERS["x264"])) is not None
        )
    assert {find_container(tmp_path / f"o{each.upper()}") for each in CONTAINERS} == {
        *CONTAINERS.values()
    }


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_last_picture_stays_as_long(tmp_path, suffix):
    path, out = tmp_path / "in.mp4", tmp_path / f"out{suffix}"
    held = ("-vf", "setpts='if(lt(N,9),N*0.04,5.36)/TB'", "-fps_mode", "vfr")
    ffmpeg(*SHAPES, *held, "-enc_time_base", "1/1000", *X264, "-bf", 0, "-pix_fmt", "yuv420p", path)
    deliver_plainly(path, out)
    assert times(out) == pytest.approx(times(path), abs=2e-3)
    assert re.search(r"Duration: 00:00:05\.[45]", streams(out))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A clip with sound."""
    path = tmp_path_factory.mktemp("base") / "base.mp4"
    sound = ("-f", "lavfi", "-i", "sine=300:d=0.4", "-c:a", "aac")
    ffmpeg(*SHAPES, *sound, *X264, "-pix_fmt", "yuv420p", path)
    return path


@pytest.mark.parametrize(
    "told",
    [("-timecode", "01:00:00:00"), ("-metadata:s:a:0", "language=en-US"),
     ("-metadata:s:v:0", "language=zh-Hans"), ("-metadata", "title=side data - Dolby Vision"),
     ("-metadata", "title=x\nStream #0:7: Video: h264")],
    ids=lambda words: words[1][:12],
)  # fmt: skip
def test_streams_are_found_whatever_is_said_of_them(base, tmp_path, told):
    path, out = tmp_path / ("in.mov" if told[0] == "-timecode" else "in.mkv"), tmp_path / "out.mkv"
    ffmpeg("-i", base, "-c", "copy", *told, path)
    deliver_plainly(path, out)
    said = streams(out)
    found = re.findall(r"^  Stream .*(Audio: aac|Video: h264)", said, re.M)
    assert sorted(found) == ["Audio: aac", "Video: h264"]
    assert "language" not in told[1] or f"({told[1].split('=')[1]})" in said


def first_times(path) -> list[float]:
    """When the video and the sound of a file begin, in seconds."""
    found = []
    for kind in "Va":
        words = ("-copyts", "-i", path, "-map", f"0:{kind}:0", "-c", "copy", "-f", "framecrc", "-")
        listed = ffmpeg("-loglevel", "error", *words).decode()
        ticks, rate = map(int, re.search(r"#tb 0: (\d+)/(\d+)", listed).groups())
        stamps = re.findall(r"^0,[^,]*, *(-?\d+),", listed, re.M)
        found.append(min(map(int, stamps)) * ticks / rate)
    return found


@pytest.mark.parametrize(("video", "sound"), [(0.8, 0), (0.25, 0), (0, 0.25)])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_sound_and_picture_of_transport_streams_stay_in_step(base, tmp_path, video, sound, suffix):
    path, out = tmp_path / "in.ts", tmp_path / f"out{suffix}"
    inputs = ("-itsoffset", video, "-i", base, "-itsoffset", sound, "-i", base)
    ffmpeg(*inputs, "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    deliver_plainly(path, out)
    before, after = (np.subtract(*first_times(each)) for each in (path, out))
    assert after == pytest.approx(before, abs=2e-3) and abs(before - (video - sound)) < 0.03


def test_a_file_that_is_cut_short_is_not_whole(base, tmp_path):
    for suffix in (".mkv", ".mp4"):
        ffmpeg("-i", base, "-c", "copy", tmp_path / f"whole{suffix}")
        data = (tmp_path / f"whole{suffix}").read_bytes()
        (tmp_path / f"cut{suffix}").write_bytes(data[: len(data) * 7 // 10])
        with pytest.raises(UserError, match="cannot be read as a video"):
            probe(tmp_path / f"cut{suffix}")
    with pytest.raises(UserError, match="cut short"):
        probe(tmp_path / "cut.mkv")


def test_a_transport_stream_holds_no_text(rich, tmp_path):
    film = choose_raw(probe(rich / "film.mp4"), "x264")
    with pytest.raises(UserError, match=r"mpegts does not support mov_text.*\.mkv.* can$"):
        check_container(film, tmp_path / "out.ts", Coding(ENCODERS["x264"]))
    with pytest.raises(UserError, match="names no container"):
        find_container(tmp_path / "out.m2ts")


def test_dispositions_stay(base, tmp_path):
    path, out = tmp_path / "in.mkv", tmp_path / "out.mkv"
    ffmpeg("-i", base, "-c", "copy", "-disposition:v:0", "default+original", path)
    deliver_plainly(path, out)
    assert re.search(r"Video: h264.*\(default\) \(original\)", streams(out))
