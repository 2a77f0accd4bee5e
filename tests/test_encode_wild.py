"""`encode` of files as they are found: depth, RGB, alpha, HDR, timestamps, promises."""

import itertools
import re

import numpy as np
import pytest

from common.base.errors import UserError
from common.encoding.clips import encode_scenes
from common.encoding.containers import CONTAINERS, check_container, join
from common.encoding.delivery import deliver
from common.encoding.encoders import ENCODERS, OF_LEVELS, Coding, find_mastering
from common.encoding.planning import ScenePlan, is_measurable
from common.encoding.raw import choose_raw
from common.encoding.scores import Measure
from common.encoding.windows import read_scenes
from common.video.ffmpeg import open_reader
from common.video.frames import read_raw
from common.video.probe import probe
from common.video.scenes import Scene, find_scenes
from tests.videos import (
    deliver_plainly,
    ffmpeg,
    frames_by_ffmpeg,
    pixels,
    plan_scene,
    streams,
    times,
)

X264 = ("-c:v", "libx264", "-qp", 12, "-preset", "ultrafast")
SHAPES = ("-f", "lavfi", "-i", "testsrc2=s=320x176:d=0.4")


@pytest.mark.parametrize(
    ("pixel_format", "codec"),
    [("yuv420p10le", "ffv1"), ("yuv420p12le", "ffv1"), ("yuv422p12le", "ffv1"),
     ("gray10le", "ffv1"), ("gray12le", "ffv1"), ("yuva444p10le", "prores_ks"),
     ("yuv444p12le", "ffv1")],
)  # fmt: skip
@pytest.mark.parametrize("encoder", ["x264", "svtav1"])
def test_a_qp_means_the_same_in_any_depth(tmp_path, pixel_format, codec, encoder):
    """VMAF of luma at a QP, beside that of 8 bits."""
    vmaf = []
    for name in ("gray" if "gray" in pixel_format else "yuv420p", pixel_format):
        path = tmp_path / f"{name}.mov"
        used = codec if name == pixel_format else "ffv1"
        ffmpeg(*SHAPES, "-pix_fmt", name, "-c:v", used, "-f", "matroska", path)
        raw, scene = choose_raw(probe(path), encoder), Scene(0, 10, 0, 0.4)
        vmaf.append(plan_scene(raw, scene, 34.0, (34, 34), 90, encoder).expected_vmaf)
    assert vmaf[0] == pytest.approx(vmaf[1], abs=1.5) and vmaf[0] < 96


@pytest.mark.parametrize(
    ("kind", "codec"),
    [("gbrp", ("-c:v", "libx264rgb", "-qp", 4)), ("rgb24", ("-c:v", "qtrle")),
     ("rgb24", ("-c:v", "png")), ("bgr8", ("-c:v", "gif")), ("rgba", ("-c:v", "apng"))],
    ids=["x264rgb", "qtrle", "png", "gif", "apng"],
)  # fmt: skip
def test_rgb_has_its_colours(tmp_path, kind, codec):
    suffix = {"gif": ".gif", "apng": ".apng"}.get(codec[1], ".mov")
    path, out = tmp_path / f"in{suffix}", tmp_path / "out.mp4"
    ffmpeg(*SHAPES, *codec, "-pix_fmt", kind, path)
    notes = deliver_plainly(path, out, qp=12)
    assert any("RGB is encoded as yuv420p, BT709" in note for note in notes)
    assert any("transparency" in note for note in notes) == (suffix != ".mov")
    before = frames_by_ffmpeg(path, 320, 176).astype(float)
    after = frames_by_ffmpeg(out, 320, 176)
    assert len(before) == len(after) == 10
    # Subsampled colours of a test picture; in another matrix it is 12 dB.
    assert 10 * np.log10(255**2 / np.mean((before - after) ** 2)) > 24
    assert re.search(r"yuv420p\(tv, bt709", streams(out))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_mastering_metadata_of_hdr_are_kept(tmp_path, encoder):
    path, out = tmp_path / "hdr.mkv", tmp_path / "out.mkv"
    told = (
        "log-level=error:master-display=G(13250,34500)B(7500,3000)R(34000,16000)"
        "WP(15635,16450)L(10000000,50):max-cll=1000,400:hdr10=1"
    )
    tags = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
    deep = ("-vf", f"format=yuv420p10le,setparams={tags}")
    ffmpeg(*SHAPES, *deep, "-c:v", "libx265", "-x265-params", told, path)
    before = find_mastering(probe(path).side_data)
    assert before.luminance == (1000, 0.005) and before.light == (1000, 400)
    deliver_plainly(path, out, encoder)
    after = probe(out)
    kept = find_mastering(after.side_data)
    assert np.allclose(kept.primaries, before.primaries, atol=1e-3)
    assert np.allclose(kept.luminance, before.luminance, atol=1e-3) and kept.light == before.light
    assert after.format[4:8] == ("tv", "bt2020nc", "bt2020", "smpte2084")


@pytest.mark.parametrize("pixel_format", ["yuv411p", "yuv410p"])
def test_coarse_chroma_takes_no_columns(tmp_path, pixel_format):
    """98 columns and 66 rows are even, but no multiples of its 4."""
    path = tmp_path / "in.mkv"
    source = ("-f", "lavfi", "-i", "testsrc2=s=98x66:d=0.08")
    ffmpeg(*source, "-pix_fmt", pixel_format, "-c:v", "ffv1", path)
    raw = choose_raw(probe(path), "x264")
    name = raw.pixel_format.name
    read = [*read_raw(raw.video, raw.graph, name, raw.frame_bytes, [0, 1])]
    shown = ffmpeg("-loglevel", "error", "-i", path, "-pix_fmt", name, "-f", "rawvideo", "-")
    assert b"".join(data for _, data in read) == shown


def test_colour_tags_that_ffmpeg_does_not_convert_are_kept(tmp_path):
    """A logarithmic transfer function and a rare matrix: the same pixels and VMAF as without."""
    vmaf, coded = [], []
    for name, tags in (("plain", "range=tv"), ("tagged", "colorspace=ictcp:color_trc=log100")):
        path, out = tmp_path / f"{name}.mkv", tmp_path / f"{name}.mp4"
        ffmpeg(*SHAPES, "-vf", f"format=yuv422p10le,setparams={tags}", "-c:v", "ffv1", path)
        deliver_plainly(path, out)
        raw, scene = choose_raw(probe(path), "x264"), Scene(0, 10, 0, 0.4)
        vmaf.append(plan_scene(raw, scene, 34.0, (34, 34)).expected_vmaf)
        coded.append(pixels(out))
    assert vmaf[0] == vmaf[1] < 96 and coded[0] == coded[1] and len(coded[0]) == 10
    assert "yuv422p10le(tv, ictcp/unknown/log100" in streams(out)


def test_what_an_encoder_cannot_keep_is_refused(tmp_path):
    path = tmp_path / "in.mkv"
    ffmpeg(*SHAPES, *X264, "-pix_fmt", "yuv420p", path)
    video = probe(path)
    dolby = video._replace(side_data=["DOVI configuration record: version: 1.0, profile: 8"])
    with pytest.raises(UserError, match="Dolby Vision"):
        choose_raw(dolby, "x265")
    (_, frame_format), *_ = video.formats
    changes = {
        "size": frame_format._replace(width=640),
        "pixel format": frame_format._replace(pixel_format="gray"),
    }
    changes |= {"aspect": frame_format._replace(aspect="4/3")}
    for what, other in changes.items():
        with pytest.raises(UserError, match=f"changes its .*{what}.* at 0.2 s"):
            choose_raw(video._replace(formats=[(0, frame_format), (5, other)]), "x264")
    known, foreign = frame_format._replace(space="bt709"), frame_format._replace(space="smpte170m")
    merged = choose_raw(video._replace(formats=[(0, frame_format), (5, known)]), "x264")
    assert "colorspace=bt709" in merged.tags
    with pytest.raises(UserError, match="from bt709 to smpte170m"):
        choose_raw(video._replace(formats=[(0, known), (5, foreign)]), "x264")


def test_a_video_that_becomes_interlaced_is_refused(tmp_path):
    parts = (("p", ()), ("i", ("-vf", "interlace", "-flags", "+ildct+ilme")))
    for name, more in parts:
        rate = "r=50" if name == "i" else "r=25"
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=320x176:{rate}:d=1", *more, *X264,
               "-pix_fmt", "yuv420p", "-f", "mpegts", tmp_path / f"{name}.ts")  # fmt: skip
    (tmp_path / "list.txt").write_text("file p.ts\nfile i.ts\n")
    ffmpeg("-f", "concat", "-i", tmp_path / "list.txt", "-c", "copy", tmp_path / "in.mkv")
    video = probe(tmp_path / "in.mkv")
    assert video.interlaced == 25
    with pytest.raises(UserError, match=r"interlaced from 1\.0 s on.*bwdif"):
        choose_raw(video, "x264")


# Containers


def test_names_that_ffmpeg_reads_otherwise(tmp_path):
    path = tmp_path / "in.mp4"
    ffmpeg(*SHAPES, *X264, "-pix_fmt", "yuv420p", path)
    folder = tmp_path / "50% of [a]* it's: 'so'"
    folder.mkdir()
    for name in (
        "100% real.mp4",
        "12:30.mkv",
        "%05d.mp4",
        "a**.mp4",
        "-out.mp4",
        "n" * 240 + ".mkv",
    ):
        deliver_plainly(path, folder / name)
        assert probe(folder / name).frames == 10
    deliver_plainly(folder / "%05d.mp4", folder / "again.mp4")
    assert sorted(each.name for each in folder.iterdir() if each.name[0] == ".") == []


def test_more_scenes_than_one_ffmpeg_cuts(tmp_path, monkeypatch):
    path = tmp_path / "in.mkv"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:d=1.2", "-c:v", "ffv1", "-pix_fmt", "yuv420p", path
    )
    monkeypatch.setattr("common.encoding.clips._MOST_PARTS", 3)
    raw = choose_raw(probe(path), "x264")
    firsts = [0, 2, 5, 9, 11, 17, 23, 29, 30]
    scenes = [Scene(first, end, first / 25, end / 25) for first, end in itertools.pairwise(firsts)]
    told = []
    parts = encode_scenes(raw, scenes, [1] * 8, OF_LEVELS, tmp_path, told.append)
    assert len(parts) == 8 and sum(told) == 30
    for part, scene in zip(parts, scenes):
        assert len(pixels(part)) == scene.end - scene.first
    join(raw, parts, scenes, tmp_path / "out.mkv", CONTAINERS[".mkv"], "h264")
    before = frames_by_ffmpeg(path, 64, 48).astype(float)
    assert np.abs(before - frames_by_ffmpeg(tmp_path / "out.mkv", 64, 48)).mean() < 3
    assert times(tmp_path / "out.mkv") == pytest.approx(times(path), abs=2e-3)


def test_some_scenes_encoded_again(tmp_path, monkeypatch):
    """At other CRFs, each from its own frames; the files of the others stay."""
    path = tmp_path / "in.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:d=1.2", "-c:v", "ffv1", path)
    monkeypatch.setattr("common.encoding.clips.MOST_RANGES", 2)
    raw, told = choose_raw(probe(path), "x264"), []
    firsts = [0, 4, 9, 11, 17, 24, 30]
    scenes = [Scene(first, end, first / 25, end / 25) for first, end in itertools.pairwise(firsts)]
    given = OF_LEVELS, tmp_path, told.append
    parts = encode_scenes(raw, scenes, [30] * 6, *given)
    before = [part.read_bytes() for part in parts]
    # More scenes that do not follow each other than one filter selects here.
    again = [None, 1, None, 1, None, 1]
    assert encode_scenes(raw, scenes, again, *given) == parts and sum(told) == 30 + 5 + 6 + 6
    source = frames_by_ffmpeg(path, 64, 48).astype(float)
    for part, old, scene, qp in zip(parts, before, scenes, again):
        assert (part.read_bytes() == old) == (qp is None)
        if qp:
            frames = frames_by_ffmpeg(part, 64, 48)
            assert np.abs(source[scene.first : scene.end] - frames).mean() < 3


# Reading


@pytest.mark.parametrize(
    ("pixel_format", "more"),
    [("yuv420p", ()), ("yuvj420p", ()), ("gray", ()), ("yuv422p10le", ()), ("yuv444p", ()),
     ("yuv420p", ("-vf", "scale=out_range=pc,setparams=range=pc", "-color_range", "pc")),
     ("yuv420p", ("-vf", "crop=255:143")), ("gbrp", ()), ("yuva420p", ())],
    ids=["plain", "yuvj", "grey", "10 bit", "4:4:4", "full range", "odd", "RGB", "alpha"],
)  # fmt: skip
@pytest.mark.parametrize("encoder", ["x264", "svtav1"])
def test_samples_and_windows_of_one_pass(tmp_path, monkeypatch, pixel_format, more, encoder):
    """They are the frames that ffmpeg makes by command lines of their own."""
    path = tmp_path / "in.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x176:d=1.2", *more, "-pix_fmt", pixel_format,
           "-c:v", "ffv1", path)  # fmt: skip
    raw, decodes = choose_raw(probe(path), encoder), []

    def open_counted(words, *given, **options):
        decodes.extend(each for each in words if each == f"file:{path}")
        return open_reader(words, *given, **options)

    monkeypatch.setattr("common.video.frames.open_reader", open_counted)
    height, width = (raw.video.format.height, raw.video.format.width)
    rgb = frames_by_ffmpeg(path, width, height)
    scenes = [Scene(0, 20, 0, 0.8), Scene(20, 30, 0.8, 1.2)]
    # Of 20 frames, the middle 12 are 4 to 15; of 10, all; one sample is in each third.
    expected = [((3, 10, 16), (4, 16)), ((21, 25, 28), (20, 30))]
    sampled = [scene.sample(3) for scene in scenes]
    windows = [[scene.middle(12)] for scene in scenes]
    for (frames, (clip,)), (samples, window) in zip(
        read_scenes(raw, sampled, windows, tmp_path), expected
    ):
        assert np.array_equal(np.stack([*frames]), rgb[[*samples]])
        graph = f"{raw.graph},trim=start_frame={window[0]}:end_frame={window[1]}"
        made = ("-map", "0:V:0", "-fps_mode", "passthrough", "-pix_fmt", raw.pixel_format.name,
                "-c:v", "rawvideo", "-f", "framemd5", "-")  # fmt: skip
        lines = ffmpeg("-loglevel", "error", "-i", path, "-vf", graph, *made).decode()
        sums = [each.split(",")[-1].strip() for each in lines.splitlines() if each[0] != "#"]
        assert pixels(clip) == sums
    assert len(decodes) == (2 if pixel_format in ("gbrp", "yuva420p") else 1)
    assert len([*tmp_path.glob("*.nut")]) == 2


# Promises


def test_pictures_that_are_not_the_inputs_are_no_result(tmp_path):
    path, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    ffmpeg(*SHAPES, *X264, "-pix_fmt", "yuv420p", path)
    raw = choose_raw(probe(path), "x264")
    spoiled = raw._replace(graph=f"hue=s=0,negate,{raw.graph}")
    scene = ScenePlan(scene=Scene(0, 10, 0, 0.4), level=20, quantizer=20, promised_vmaf=94.5)

    def spoil(given, *more, **options):
        return encode_scenes(spoiled, *more, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.encoding.delivery.encode_scenes", spoil)
        with pytest.raises(UserError, match=r"not written: .* 94\.5 was promised"):
            deliver(raw, out, [scene], OF_LEVELS, Measure())
    assert [each.name for each in tmp_path.iterdir()] == ["in.mp4"]
    (vmaf,) = deliver(raw, out, [scene], OF_LEVELS, Measure()).vmaf
    assert vmaf.mean > 90


@pytest.mark.parametrize("size", ["16x16", "2x2", "640x16", "16x200"])
def test_frames_too_small_for_vmaf_are_encoded_untried(tmp_path, size):
    path, out = tmp_path / "in.mp4", tmp_path / "out.mkv"
    ffmpeg("-f", "lavfi", "-i", f"color=gray:s={size}:d=0.4", *X264, "-pix_fmt", "yuv420p", path)
    raw = choose_raw(probe(path), "x264")
    assert not is_measurable(raw)
    (scene,) = find_scenes(raw.video)
    plan = plan_scene(raw, scene, 30.0)
    assert (plan.quantizer, plan.expected_vmaf) == (30, None)
    deliver(raw, out, [plan], OF_LEVELS, None)
    assert size in streams(out)


# What a tester found


def test_what_an_encoder_cannot_code_is_told(tmp_path):
    path = tmp_path / "tiny.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=2x2:d=0.2", "-c:v", "ffv1", path)
    raw = choose_raw(probe(path), "x265")
    with pytest.raises(UserError, match=r"x265 cannot encode 2x2 pixels"):
        check_container(raw, tmp_path / "out.mkv", Coding(ENCODERS["x265"]))


def test_intervals_that_vary_last_as_long(tmp_path):
    path = tmp_path / "in.mp4"
    vary = ("-vf", "select='not(mod(n,3))+lt(n,6)'", "-fps_mode", "vfr")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=0.6", *vary, *X264, "-bf", 0,
           "-pix_fmt", "yuv420p", path)  # fmt: skip
    for suffix in (".mp4", ".mkv"):
        deliver_plainly(path, tmp_path / f"out{suffix}")
        before, after = (re.search(r"Duration: (\S+),", streams(each))[1]
                         for each in (path, tmp_path / f"out{suffix}"))  # fmt: skip
        assert before == after == "00:00:00.52"


@pytest.mark.parametrize(
    ("jump", "after"),
    [("if(gt(N,11),TS-400,TS)", "0.4"), ("if(eq(N,11),TS-40,TS)", "0.4"),
     ("if(eq(N,1),TS-40,TS)", "0.0")],
)  # fmt: skip
def test_timestamps_that_do_not_rise_lose_no_frame_in_silence(tmp_path, jump, after):
    path = tmp_path / "back.mkv"
    shapes = ("-f", "lavfi", "-i", "testsrc2=s=64x64:d=1")
    jump = f"setts=ts='{jump}'"
    ffmpeg(*shapes, *X264, "-bf", 0, "-pix_fmt", "yuv420p", tmp_path / "in.mkv")
    ffmpeg("-i", tmp_path / "in.mkv", "-c", "copy", "-bsf:v", jump, path)
    with pytest.raises(UserError, match=f"timestamps stand still or jump back after {after} s"):
        deliver_plainly(path, tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()
