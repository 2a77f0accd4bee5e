"""The codec module against ffmpeg run on its own, numpy, and numbers from the standards."""

import json
import os

import numpy as np
import pytest

from common.base.errors import UserError
from common.video import ffmpeg as ffmpeg_program
from common.video import h264, quality
from common.video.probe import first_of_each_second, probe
from tests.synthetic import fake_ffmpeg, ffmpeg, moving, picture, write_clip

SIZE = (144, 256)
RAW = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "256x144")
# As h264.py's head tells them, written out.
SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"


@pytest.fixture(scope="module")
def frame():
    return picture(1, *SIZE)


def luma(stream: bytes) -> np.ndarray:
    """The Y plane of a stream of one frame, decoded by ffmpeg alone."""
    planes = ffmpeg("-f", "h264", "-i", "-", "-f", "rawvideo", "-", data=stream)
    return np.frombuffer(planes, np.uint8)[: SIZE[0] * SIZE[1]].astype(float)


def test_an_encode_is_what_the_documented_settings_give(frame):
    expected = ffmpeg(
        *(
            *RAW,
            "-i",
            "-",
            "-vf",
            f"scale=out_color_matrix=bt601:out_range=tv:{SCALE},format=yuv420p",
        ),
        *("-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "medium", "-qp", 30),
        *("-colorspace", "smpte170m", "-color_range", "tv", "-threads", 1),
        *("-bsf:v", "filter_units=remove_types=6", "-f", "h264", "-"),
        data=frame.tobytes(),
    )
    assert h264.encode(frame, 30) == expected


def test_each_of_several_is_as_if_coded_and_measured_alone(frame):
    """At QPs from the finest to the coarsest, in no order; one twice; then two more frames."""
    frame = np.ascontiguousarray(frame[::2, ::2])  # a quarter of the pixels, and of the time
    every = [30, *range(h264.FINEST_OF_EACH, 52, 3), *range(51, h264.FINEST_OF_EACH, -3)]
    frames, qps = [frame, frame[::-1].copy(), 255 - frame], [every, [27], [40, 22, 31]]
    coded = h264.encode_each(frames, qps)
    measured = quality.score_streams(frames, coded)
    assert [*map(len, coded)] == [*map(len, measured)] == [*map(len, qps)]
    for one, *of_frame in zip(frames, qps, coded, measured):
        for qp, stream, vmaf in zip(*of_frame):
            alone = h264.encode(one, qp)
            assert np.array_equal(h264.decode(stream), h264.decode(alone)), qp
            assert vmaf == quality.measure(one, alone, ["vmaf"])["vmaf"], qp
    with pytest.raises(ValueError, match="must be at least 4, not 3"):
        h264.encode_each([frame], [[20, 3]])


def test_coarser_costs_fewer_bits(frame):
    sizes = [len(h264.encode(frame, qp)) for qp in (10, 20, 30, 40, 50)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 10 * sizes[-1]


def test_six_steps_of_qp_double_the_quantizer():
    # Uniform noise, finely quantized: the error's power grows fourfold, by 6 dB.
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 1), dtype=np.uint8).repeat(3, axis=2)
    fine, coarse = (
        quality.measure(noise, h264.encode(noise, qp), ["psnr"])["psnr"] for qp in (20, 26)
    )
    assert fine - coarse == pytest.approx(6.02, abs=0.5)


@pytest.mark.parametrize(
    ("rgb", "yuv"),
    # ITU-R BT.601, limited range, for full red, green, blue and white.
    [
        ((255, 0, 0), (81, 90, 240)),
        ((0, 255, 0), (145, 54, 34)),
        ((0, 0, 255), (41, 240, 110)),
        ((255, 255, 255), (235, 128, 128)),
    ],
)
def test_colours_are_bt601(rgb, yuv):
    flat = np.full((64, 64, 3), rgb, np.uint8)
    stream = h264.encode(flat, 0)
    planes = np.frombuffer(
        ffmpeg("-f", "h264", "-i", "-", "-f", "rawvideo", "-", data=stream), "u1"
    )
    y, u, v = planes[:4096], planes[4096:5120], planes[5120:]
    found = [plane.mean() for plane in (y, u, v)]
    assert found == pytest.approx(yuv, abs=0.6)
    assert np.abs(h264.decode(stream).astype(int) - rgb).max() <= 2


def test_decode_returns_rows_columns_and_channels_in_order():
    flat = np.zeros((32, 96, 3), np.uint8)
    flat[:16, :48] = (200, 40, 90)
    found = h264.decode(h264.encode(flat, 0))
    assert found.shape == (32, 96, 3)
    assert np.abs(found[4:12, 8:40].astype(int) - (200, 40, 90)).max() <= 2
    assert found[20:, 60:].max() <= 2


def test_psnr_is_that_of_luma(frame):
    stream, lossless = h264.encode(frame, 34), h264.encode(frame, 0)
    error = np.mean((luma(stream) - luma(lossless)) ** 2)
    measured = quality.measure(frame, stream, ["psnr"])["psnr"]
    assert measured == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)


def test_vmaf_and_ssim_are_those_of_ffmpeg_run_on_files(frame, tmp_path):
    stream = h264.encode(frame, 34)
    (tmp_path / "coded.264").write_bytes(stream)
    (tmp_path / "source.264").write_bytes(h264.encode(frame, 0))
    log = tmp_path / "vmaf.json"
    both = ("-i", tmp_path / "coded.264", "-i", tmp_path / "source.264")
    scoring = f"libvmaf=log_fmt=json:log_path={log}:feature=name=float_ssim"
    ffmpeg(*both, "-lavfi", scoring, "-f", "null", "-")
    scores = json.loads(log.read_text())["pooled_metrics"]
    measured = quality.measure(frame, stream)
    assert measured["vmaf"] == pytest.approx(scores["vmaf"]["mean"], abs=1e-4)
    # libvmaf's SSIM is of another window than ffmpeg's.
    assert measured["ssim"] == pytest.approx(scores["float_ssim"]["mean"], abs=0.03)


def test_a_frame_and_its_stream_measure_alike(frame):
    stream = h264.encode(frame, 30)
    by_stream = quality.measure(frame, stream)
    by_frame = quality.measure(frame, h264.decode(stream))
    assert by_frame["psnr"] == pytest.approx(by_stream["psnr"], abs=0.2)
    assert quality.measure(frame, frame, ["psnr", "ssim"]) == {"psnr": float("inf"), "ssim": 1.0}


def test_odd_sizes_can_be_measured():
    odd = picture(2, 75, 101)
    assert quality.measure(odd, odd, ["psnr"])["psnr"] == float("inf")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip of 12 frames at 5 per second, the n-th of grey 20 n, under a name full of traps."""
    path = tmp_path_factory.mktemp("clips") / "-a %03d 'b';c|concat:.mp4"
    greys = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(12)]
    write_clip(path, greys, 0)
    return path


def test_frames_are_those_asked_for(clip):
    found = [image.mean() for image in h264.frames(clip, [0, 1, 5, 11])]
    assert found == pytest.approx([0, 20, 100, 220], abs=2)


def test_a_reencoded_clip_keeps_its_frames(clip):
    coded = h264.reencode(clip, 20)
    assert [image.mean() for image in h264.frames(coded, [3, 4])] == pytest.approx([60, 80], abs=3)


def test_inspect_counts_and_times(clip):
    found = probe(clip)
    assert (found.format.width, found.format.height) == (64, 48)
    assert found.frames == 12
    assert found.times == pytest.approx([number / 5 for number in range(13)])
    assert first_of_each_second(found.times[:-1]) == [0, 5, 10]


def test_first_of_each_second_by_hand():
    assert first_of_each_second([0.0, 0.4, 0.99999, 1.2, 3.5, 3.9]) == [0, 2, 4]


def test_a_clip_that_is_too_short_says_so(clip):
    with pytest.raises(UserError, match="ends before frame 12"):
        list(h264.frames(clip, [11, 12]))


def test_a_reader_may_stop_early(tmp_path):
    write_clip(tmp_path / "long.mp4", moving(3, 40, *SIZE), 0)
    frames = h264.frames(tmp_path / "long.mp4", range(40))
    next(frames)
    frames.close()


def test_what_is_no_video_says_so(tmp_path, clip):
    path = tmp_path / "words.mp4"
    path.write_text("not a video")
    with pytest.raises(UserError, match=r"words\.mp4: cannot be read as a video"):
        probe(path)
    with pytest.raises(UserError, match=r"words\.mp4: cannot be read as a video"):
        list(h264.frames(path, [0]))
    with pytest.raises(UserError, match=r"absent\.mp4: no such file"):
        probe(tmp_path / "absent.mp4")


def test_a_damaged_stream_is_not_patched_over(tmp_path):
    path = tmp_path / "whole.264"
    write_clip(path, moving(4, 10, *SIZE), 20)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot be read as a video"):
        probe(path)


@pytest.fixture
def fresh():
    """`binary` remembers what it found; forget it before and after."""

    def forget():
        ffmpeg_program.binary.cache_clear()
        ffmpeg_program.find_missing.cache_clear()

    forget()
    yield
    forget()


def test_an_ffmpeg_without_a_feature_says_what_needs_it(tmp_path, monkeypatch, fresh):
    path = fake_ffmpeg(tmp_path, encoders=" V....D libx264 H.264")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))
    assert ffmpeg_program.binary("libx264") == str(path)
    with pytest.raises(UserError, match=r"without libvmaf, which measuring VMAF needs"):
        ffmpeg_program.binary("libvmaf")


def test_an_ffmpeg_that_is_not_there(monkeypatch, fresh):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/absent/ffmpeg")
    with pytest.raises(UserError, match="/absent/ffmpeg: does not run as ffmpeg"):
        ffmpeg_program.binary()


def test_the_systems_ffmpeg_is_taken_only_if_it_can_do_all(tmp_path, monkeypatch, fresh):
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    poor = fake_ffmpeg(tmp_path, encoders=" V....D libx264 H.264")
    assert ffmpeg_program.binary() != str(poor)
    both = (" V....D libx264 H.264", " .. libvmaf VV->V")
    for options, taken in (("-vsync", False), ("-fps_mode[:<stream_spec>]", True)):
        ffmpeg_program.binary.cache_clear()
        ffmpeg_program.find_missing.cache_clear()
        rich = fake_ffmpeg(tmp_path, *both, options)
        assert (ffmpeg_program.binary() == str(rich)) == taken


def test_an_ffmpeg_that_is_too_old(tmp_path, monkeypatch, fresh):
    path = fake_ffmpeg(tmp_path, " libx264 ", " libvmaf ", "-vsync")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))
    with pytest.raises(UserError, match=r"older than ffmpeg 5\.1: let IMAGEIO_FFMPEG_EXE"):
        ffmpeg_program.binary("libvmaf")
