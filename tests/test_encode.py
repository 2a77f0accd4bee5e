"""`encode`: what comes out, by ffmpeg's own word, of videos as they are found in the wild."""

import json
import re
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from common.base.errors import UserError
from common.encoding.delivery import deliver
from common.encoding.encode import EncodeOptions, encode_video, find_target
from common.encoding.encoders import ENCODERS, OF_LEVELS, Coding, Encoder
from common.encoding.planning import ScenePlan, plan_scenes
from common.encoding.raw import choose_raw
from common.encoding.scores import Measure
from common.encoding.windows import write_windows
from common.models.labels import VIEWERS, Labels
from common.video.ffmpeg import binary
from common.video.probe import probe
from common.video.scenes import Scene, find_scenes
from tests.processes import REPO, one_line
from tests.videos import ffmpeg, pixels, plan_scene, streams, times

STAND_IN = "objective stand-in (VMAF below 94.5, 91.25, 87)"
X264 = ("-c:v", "libx264", "-qp", 12, "-preset", "ultrafast")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """20 frames of moving shapes and 20 of noise, two sounds, a title."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    sources = ("testsrc2=s=256x144:d=0.8", "nullsrc=s=256x144:d=0.8,geq=random(1)*255:128:128")
    sounds = ("sine=300:d=1.6", "sine=900:d=1.6")
    inputs = [word for each in (*sources, *sounds) for word in ("-f", "lavfi", "-i", each)]
    mapped = ("-map", "[v]", "-map", "2", "-map", "3", "-metadata", "title=Noise")
    graph = "[0][1]concat=n=2,format=yuv420p[v]"
    ffmpeg(*inputs, "-filter_complex", graph, *mapped, *X264, path)
    return path


def encode(in_process, weights, clip, out, *more):
    given = ("--jnd_value", "JND1", "--model_weights_path", weights)
    limits = ("--min_qp", 20, "--max_qp", 35)
    return in_process("LAT.py", "encode", clip, out, *given, *limits, "--json", *more)


ALONE = {  # the same scene by a command line of its own
    "x264 crf": ("libx264", "-aq-mode", 0, "-preset", "veryfast", "-crf"),
    "x264 crf --aq": ("libx264", "-preset", "medium", "-crf"),
    "x264 qp": ("libx264", "-preset", "medium", "-qp"),
    "x265 crf": ("libx265", "-x265-params", "aq-mode=0:log-level=error", "-crf"),
    "svtav1 crf": ("libsvtav1", "-preset", 8, "-crf"),
    "svtav1 qp": ("libsvtav1", "-preset", 8, "-svtav1-params", "rc=0:enable-tf=0:aq-mode=0", "-qp"),
}


@pytest.mark.parametrize("kind", ALONE)
def test_each_scene_has_its_qp_and_all_else_is_kept(in_process, weights, clip, tmp_path, kind):
    out, (encoder, control, *aq) = tmp_path / "out.mkv", kind.split()
    more = ("--preset", "veryfast") if kind == "x264 crf" else ()
    done = encode(in_process, weights, clip, out, "--encoder", encoder, "--no_verify",
                  "--rate_control", control, *aq, *more)  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [row["first_frame"] for row in told["scenes"]] == [0, 20]
    assert told["output_bytes"] == out.stat().st_size
    for row in told["scenes"]:
        cut = f"trim=start_frame={row['first_frame']}:end_frame={row['last_frame'] + 1}"
        alone = tmp_path / "alone.mkv"
        ffmpeg("-i", clip, "-map", "0:v", "-vf", f"{cut},setpts=PTS-STARTPTS", "-c:v",
               *ALONE[kind], row[control], alone)  # fmt: skip
        assert pixels(out, row["first_frame"], row["last_frame"] + 1) == pixels(alone)
    listed = ("-map", "0:V:0", "-c", "copy", "-f", "framecrc", "-")
    lines = ffmpeg("-loglevel", "error", "-i", out, *listed).decode().splitlines()
    size = sum(int(line.split(",")[4]) for line in lines if not line.startswith("#"))
    assert size == pytest.approx(sum(row["bytes"] for row in told["scenes"]), rel=0.02)
    assert times(out) == pytest.approx(times(clip), abs=2e-3)
    said = streams(out)
    assert said.count("Audio: aac") == 2 and re.search(r"title +: Noise", said)


WILD = {
    "variable frame rate": ("-vf", "select='not(mod(n,3))+gt(n,22)'", "-fps_mode", "passthrough"),
    "10 bit": ("-pix_fmt", "yuv420p10le"),
    "4:2:2": ("-pix_fmt", "yuv422p"),
    "full range": ("-vf", "scale=out_range=pc", "-color_range", "pc", "-colorspace", "bt709",
                   "-color_primaries", "bt709", "-color_trc", "bt709"),
    "odd size": ("-vf", "crop=255:143", "-pix_fmt", "yuv444p"),
    "no sound": ("-an",),
}  # fmt: skip


@pytest.mark.parametrize("kind", WILD)
def test_videos_of_the_wild(in_process, weights, clip, tmp_path, kind):
    made, out = tmp_path / "in.mkv", tmp_path / "out.mkv"
    ffmpeg("-i", clip, *X264, *WILD[kind], made)
    done = encode(in_process, weights, made, out, "--no_verify")
    assert done.returncode == 0, done.stderr
    assert times(out) == pytest.approx(times(made), abs=2e-3)
    before, after = (re.search(r"Video: \w+ .*?, (\w+)\(?(.*?)\)?, (\d+x\d+)", streams(each))
                     for each in (made, out))  # fmt: skip
    assert after[1] == before[1]
    tags = "pc, bt709" if kind == "full range" else ""
    assert tags in before[2] and tags in after[2]
    assert after[3] == ("254x142" if kind == "odd size" else "256x144")
    assert streams(out).count("Audio:") == streams(made).count("Audio:")


def test_no_range_is_converted(clip, tmp_path):
    """Full range or not, the same samples are coded: the same bits, the same VMAF."""
    full = tmp_path / "full.mkv"
    told = "h264_metadata=video_full_range_flag=1"
    ffmpeg("-i", clip, "-map", "0:v", "-c", "copy", "-bsf:v", told, full)
    raws = [choose_raw(probe(path), "x264") for path in (clip, full)]
    assert raws[1].tags == "setparams=range=pc"
    scene, noise = find_scenes(raws[0].video)
    plans = [plan_scene(raw, scene, 30.0, (30, 30)) for raw in raws]
    plain, flagged = (plan.expected_vmaf for plan in plans)
    assert plain == pytest.approx(flagged, abs=0.01) and plain > 80
    # So does the measurement of the finished video.
    for raw, plan in zip(raws, plans):
        scenes = [plan, ScenePlan(scene=noise, level=30, quantizer=30)]
        done = deliver(raw, tmp_path / "out.mkv", scenes, OF_LEVELS, Measure(), overwrite=True)
        assert done.vmaf[0].mean == pytest.approx(plain, abs=2)


def test_a_rotated_video_is_shown_as_before(in_process, weights, clip, tmp_path):
    made, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    ffmpeg("-display_rotation", 90, "-i", clip, "-c", "copy", made)
    assert "rotation of 90" in streams(made)
    assert encode(in_process, weights, made, out, "--no_verify").returncode == 0
    shown = streams(out)
    assert "144x256" in shown or "rotation of 90" in shown


def test_what_cannot_be_encoded_is_told_in_a_line(in_process, weights, clip, tmp_path):
    made, out = tmp_path / "in.mkv", tmp_path / "out.mkv"
    ffmpeg("-i", clip, "-vf", "interlace", "-flags", "+ildct+ilme", *X264, made)
    one_line(encode(in_process, weights, made, out), 1, made, "interlaced", "bwdif")
    whole = clip.read_bytes()
    ffmpeg("-i", clip, "-c", "copy", "-f", "mpegts", made.with_suffix(".ts"))
    whole = bytearray(made.with_suffix(".ts").read_bytes())
    whole[len(whole) * 2 // 3 :] = np.random.default_rng(0).bytes(len(whole) // 3)
    made.write_bytes(whole)
    one_line(encode(in_process, weights, made, out), 1, made, "cannot be read")
    one_line(encode(in_process, weights, tmp_path / "none.mp4", out), 1, "none.mp4: no such file")
    assert not out.exists()


def test_nothing_is_overwritten_unasked(in_process, weights, clip, tmp_path):
    out, link = tmp_path / "out.mp4", tmp_path / "link.mp4"
    out.write_bytes(b"precious")
    link.symlink_to(clip)
    one_line(encode(in_process, weights, clip, out), 1, out, "--overwrite")
    one_line(encode(in_process, weights, clip, link, "--overwrite"), 1, "never overwritten")
    with pytest.raises(UserError, match="never overwritten"):
        encode_video(clip, clip, options=EncodeOptions(overwrite=True))
    with pytest.raises(UserError, match="already exists"):
        encode_video(tmp_path / "that is not even looked for", out)
    assert out.read_bytes() == b"precious"
    done = encode(in_process, weights, clip, out, "--dry_run", "--no_verify")
    assert done.returncode == 0 and out.read_bytes() == b"precious"
    assert encode(in_process, weights, clip, out, "--overwrite", "--no_verify").returncode == 0
    assert sorted(each.name for each in tmp_path.iterdir() if each.name[0] == ".") == []


def test_trials_correct_what_misses_the_wanted_vmaf(clip):
    raw = choose_raw(probe(clip), "x264")
    (scene, *_) = find_scenes(raw.video)
    assert find_target(Labels.from_fields({"level_kind": STAND_IN}), "JND2") == 91.25
    assert find_target(Labels(kind=VIEWERS), "JND1") is None
    coarse = plan_scene(raw, scene, 44.0)
    fine = plan_scene(raw, scene, coarse.quantizer + 0.2)
    assert len(coarse.trials) > 1 and coarse.quantizer < 40
    # From where one QP more or less matters, at most a QP is left to go.
    assert abs(fine.expected_vmaf - 94.5) <= abs(coarse.expected_vmaf - 94.5) < 2.5
    assert abs(fine.quantizer - coarse.quantizer) <= 2


def test_trials_begin_where_those_of_the_scenes_before_ended(clip, tmp_path):
    raw, coding = choose_raw(probe(clip), "x264"), Coding(ENCODERS["x264"])
    (scene, *_) = find_scenes(raw.video)
    clips = next(write_windows(raw, [[range(scene.first, scene.end)]], tmp_path))
    rows = [(44.0, clips), (41.0, clips), (38.0, clips)]
    goal = {"target_vmaf": 94.5, "measure": Measure()}
    plans = plan_scenes(raw, [scene] * 3, rows, coding, **goal)
    assert plans[0].trials[0].quantizer == 45.5  # the level and x264's usual shift
    corrections = [plans[0].quantizer - 45.5, plans[1].quantizer - 42.5]
    assert max(corrections) < -4
    # Halfway between none and the first; the median of none and both.
    assert plans[1].trials[0].quantizer == pytest.approx(42.5 + corrections[0] / 2, abs=0.06)
    assert plans[2].trials[0].quantizer == pytest.approx(39.5 + max(corrections), abs=0.06)
    assert abs(plans[2].expected_vmaf - 94.5) < 0.5


def test_a_trial_tells_the_vmaf_of_the_whole_scene(tmp_path):
    """An encoder spends fewer bits on a trial, since no later frames copy its last ones."""
    path, coded = tmp_path / "in.mkv", tmp_path / "coded.mkv"
    photo = REPO / "samples/test/photo_sunset_000.webp"
    pan = "loop=124:1,setpts=N/25/TB,crop=320:176:(iw-320)*t/5:(ih-176)*t/5,format=yuv420p"
    ffmpeg("-i", photo, "-vf", pan, "-r", 25, "-c:v", "ffv1", path)
    raw = choose_raw(probe(path), "x264")
    (trial, *_) = plan_scene(raw, Scene(0, 125, 0, 5), 27.0, rate_control="crf").trials
    assert trial.frames == 32
    ffmpeg("-i", path, *X264[:2], "-crf", trial.quantizer, "-aq-mode", 0, coded)
    whole = measure_by_ffmpeg(coded, path).mean()
    assert trial.score.mean + 0.3 < trial.vmaf < whole + 0.3
    assert trial.vmaf == pytest.approx(whole, abs=1)


def test_a_window_has_the_frame_rate_of_its_scene(tmp_path):
    """Encoders spend fewer bits on frames that are shown for a shorter time."""
    path = tmp_path / "fast.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=50:d=2", *X264, "-pix_fmt", "yuv420p", path)
    raw = choose_raw(probe(path), "x264")
    (clip,) = next(write_windows(raw, [[range(26, 74)]], tmp_path))
    told = subprocess.run([binary(), "-i", clip], capture_output=True, text=True).stderr
    assert ", 50 fps," in told


def test_a_qp_means_the_same_in_ten_bits(clip, tmp_path):
    deep = tmp_path / "deep.mkv"
    ffmpeg("-i", clip, *X264, "-pix_fmt", "yuv420p10le", deep)
    raws = [choose_raw(probe(path), "x264") for path in (clip, deep)]
    plans = [plan_scene(raw, Scene(0, 20, 0, 0.8), 30.0, (30, 30)) for raw in raws]
    assert plans[0].expected_vmaf == pytest.approx(plans[1].expected_vmaf, abs=1)


def test_an_encoder_is_a_row(in_process, weights, clip, tmp_path, monkeypatch):
    def options(setting):
        value = {setting.rate_control: setting.quantizer}
        return {"preset": setting.preset, **value, "x264-params": "stitchable=1"}

    row = Encoder(library="libx264", codec="h264", coarsest=40, steps=1, crf_step=0.5,
                  crf_shift=0, trial_loss=0, preset="ultrafast", options=options)  # fmt: skip
    monkeypatch.setitem(ENCODERS, "hasty", row)
    out = tmp_path / "out.ts"
    done = encode(in_process, weights, clip, out, "--encoder", "hasty")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["encoder"] == "hasty" and document["vmaf"] > 50
    (first, *_) = document["scenes"]
    alone = tmp_path / "alone.mkv"
    ffmpeg("-i", clip, "-map", "0:v", "-frames:v", first["last_frame"] + 1, "-c:v", "libx264",
           "-preset", "ultrafast", "-crf", first["crf"], alone)  # fmt: skip
    assert pixels(out, 0, first["last_frame"] + 1) == pixels(alone)
    one_line(
        encode(in_process, weights, clip, out, "--encoder", "hasty", "--max_qp", 41),
        2,
        "beyond hasty",
    )


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_stopped_it_leaves_nothing_that_looks_whole(weights, tmp_path, by):
    long, out = tmp_path / "long.mp4", tmp_path / "to" / "out.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=1280x720:d=30", *X264, long)
    command = [sys.executable, "LAT.py", "encode", long, out, "--jnd_value", "JND1"]
    command += ["--model_weights_path", weights, "--no_verify", "--frames_per_scene", "1"]
    process = subprocess.Popen(list(map(str, command)), cwd=REPO, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 100
    while not [*out.parent.glob(".laser-jnd-*/coded*")] and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(by)
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == (130 if by == signal.SIGINT else -signal.SIGKILL), said
    time.sleep(0.5)
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(out.parent) not in running  # no encoder goes on
    if by == signal.SIGINT:
        assert not out.parent.exists()
    else:
        assert [each.name for each in out.parent.iterdir() if each.name[0] != "."] == []


def test_labels_of_qualities_are_refused(in_process, weights, clip, tmp_path):
    of_jpeg = tmp_path / "LATJND1.h5"
    of_jpeg.write_bytes(weights.read_bytes())
    with h5py.File(of_jpeg, "a") as file:
        file.attrs["labels_codec"] = "JPEG quality"
    one_line(encode(in_process, of_jpeg, clip, tmp_path / "out.mp4"), 1, of_jpeg, "need QPs")


def test_two_runs_with_one_output(in_process, weights, clip, tmp_path):
    from common.base.temporary import lock

    out = tmp_path / "out.mkv"
    with lock(out):
        one_line(encode(in_process, weights, clip, out, "--no_verify"), 1, out, "another run")
    assert encode(in_process, weights, clip, out, "--no_verify").returncode == 0


def test_qps_that_leave_no_choice_are_a_wrong_command_line(in_process, weights, clip, tmp_path):
    given = (clip, tmp_path / "out.mkv", "--jnd_value", "JND1", "--model_weights_path", weights)
    for qps, said in (
        (("--min_qp", 40, "--max_qp", 20), "above --max_qp"),
        (("--max_qp", 90), "beyond x264"),
        (("--min_qp", 60), "beyond x264"),
        (("--vmaf", 95, "--no_verify"), "--vmaf, --aim and --vmaf_neg need trial encodes"),
        (("--vmaf", 100), "is not below 100"),
        (("--aq", "--rate_control", "qp"), "--aq needs --rate_control crf"),
    ):
        one_line(in_process("LAT.py", "encode", *given, *qps), 2, said)


def measure_by_ffmpeg(path, reference, model="vmaf_v0.6.1") -> np.ndarray:
    """VMAF of each frame without motion, by a command line of its own."""
    still = f"version={model}\\\\:motion.motion_force_zero=true"
    chain = "settb=1/1000,setpts=N,format=yuv420p"
    log = "log_fmt=json:log_path=/dev/stdout"
    graph = f"[0:V]{chain}[a];[1:V]{chain}[b];[a][b]libvmaf=model={still}:{log}"
    words = ("-i", path, "-i", reference, "-lavfi", graph, "-f", "null", "-")
    document, _ = json.JSONDecoder().raw_decode(ffmpeg(*words).decode())
    return np.array([frame["metrics"]["vmaf"] for frame in document["frames"]])


@pytest.mark.parametrize("wrong", [24, 40])
def test_a_scene_that_misses_its_promise_is_encoded_again(clip, tmp_path, wrong):
    raw, out = choose_raw(probe(clip), "x264"), tmp_path / "out.mkv"
    shapes, noise = find_scenes(raw.video)
    plans = [
        ScenePlan(scene=shapes, level=30, quantizer=wrong, promised_vmaf=92),
        ScenePlan(scene=noise, level=30, quantizer=30),
    ]
    done = deliver(raw, out, plans, Coding(ENCODERS["x264"]), Measure())
    again, once = done.plans
    assert [trial.quantizer for trial in again.trials][:1] == [wrong] and once == plans[1]
    assert {trial.frames for trial in again.trials} == {20}
    means = [each.mean for each in done.vmaf]
    assert means[0] == pytest.approx(92, abs=0.5)
    frames = np.split(measure_by_ffmpeg(out, clip), [20])
    assert means == pytest.approx([each.mean() for each in frames], abs=0.05)
    # The pictures of the scene that was encoded once are those of its first encode.
    alone = tmp_path / "alone.mkv"
    ffmpeg("-i", clip, "-vf", "trim=start_frame=20,setpts=PTS-STARTPTS", "-c:v", "libx264",
           "-aq-mode", 0, "-crf", 30, "-an", alone)  # fmt: skip
    assert pixels(out, 20) == pixels(alone)


def test_a_short_scene_that_no_allowed_crf_brings_to_its_vmaf(in_process, weights, tmp_path):
    """Its only trial is of the whole scene, at the coarsest CRF, which is as good as any."""
    path, out = tmp_path / "in.mkv", tmp_path / "out.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x176:d=0.8", *X264, "-pix_fmt", "yuv420p", path)
    done = encode(in_process, weights, path, out, "--max_qp", 20, "--vmaf", 90)
    assert done.returncode == 0, done.stderr
    (scene,) = json.loads(done.stdout)["scenes"]
    assert scene["crf"] == 20 and scene["vmaf"] > 90.5
    assert {trial["frames"] for trial in scene["trials"]} == {20}


@pytest.mark.parametrize("neg", [(), ("--vmaf_neg",)])
def test_a_vmaf_in_place_of_a_level(in_process, weights, tmp_path, neg):
    model = "vmaf_v0.6.1neg" if neg else "vmaf_v0.6.1"
    path, out = tmp_path / "in.mkv", tmp_path / "out.mkv"
    shapes = "testsrc2=s=320x180:d=3,noise=alls=12:allf=t"
    ffmpeg("-f", "lavfi", "-i", shapes, *X264, "-pix_fmt", "yuv420p", path)
    given = ("--jnd_value", "JND1", "--model_weights_path", weights, "--json", "--vmaf", 88.5)
    done = in_process("LAT.py", "encode", path, out, *given, *neg)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (scene,) = told["scenes"]
    assert told["vmaf_wanted"] == scene["vmaf_promised"] == 88.5 and told["vmaf_model"] == model
    assert told["vmaf"] == scene["vmaf"] == pytest.approx(88.5, abs=0.5)
    assert told["vmaf"] == pytest.approx(measure_by_ffmpeg(out, path, model).mean(), abs=0.05)
    assert told["expected_picture_bytes"] == pytest.approx(told["picture_bytes"], rel=0.15)
    assert scene["trials"][0]["frames"] == 32
    # The search starts where the level of one frame would, moved by the difference in VMAF.
    one = ("--frames_per_scene", 1)
    done = in_process("LAT.py", "encode", path, out, *given[:5], *one, "--dry_run")
    assert json.loads(done.stdout)["scenes"][0]["level"] == scene["level"]


def test_the_worst_frames_of_a_scene_reach_the_vmaf(in_process, weights, tmp_path):
    """Of a pan over a photograph that loses its contrast, so that its frames differ."""
    path, outs = tmp_path / "in.mkv", [tmp_path / "mean.mkv", tmp_path / "p5.mkv"]
    photo = REPO / "samples/test/photo_sunset_000.webp"
    pan = "loop=59:1,setpts=N/25/TB,crop=320:176:(iw-320)*t/2.4:(ih-176)*t/2.4,fade=out:0:80"
    ffmpeg("-i", photo, "-vf", f"{pan},format=yuv420p", "-r", 25, "-c:v", "ffv1", path)
    given = ("--jnd_value", "JND1", "--model_weights_path", weights, "--json", "--vmaf", 90)
    told = []
    for out, aim in zip(outs, ("mean", "p5")):
        done = in_process("LAT.py", "encode", path, out, *given, "--aim", aim)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout))
        assert told[-1]["aim"] == aim and told[-1]["vmaf_wanted"] == 90
        ((scene,), frames) = told[-1]["scenes"], measure_by_ffmpeg(out, path)
        figures = {"mean": frames.mean(), "p5": np.percentile(frames, 5)}
        assert figures[aim] == pytest.approx(90, abs=0.6)
        assert scene["vmaf"] == pytest.approx(figures["mean"], abs=0.05)
        assert scene["vmaf_p5"] == pytest.approx(figures["p5"], abs=0.05)
        # The frames differ, or this test could not fail.
        assert figures["mean"] > figures["p5"] + 1.5
    assert told[1]["picture_bytes"] > 1.05 * told[0]["picture_bytes"]


def test_a_vmaf_of_frames_too_small_for_it(in_process, weights, tmp_path):
    path = tmp_path / "in.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=64x16:d=0.4", *X264, "-pix_fmt", "yuv420p", path)
    given = ("--jnd_value", "JND1", "--model_weights_path", weights, "--vmaf", 90)
    done = in_process("LAT.py", "encode", path, tmp_path / "out.mkv", *given)
    one_line(done, 1, path, "too small for VMAF; leave --vmaf out")


def test_a_disk_too_full_for_trials(in_process, weights, clip, tmp_path, small_disk, monkeypatch):
    encode(in_process, weights, clip, tmp_path / "first.mkv", "--dry_run")  # caches the model
    disk = small_disk("100k")
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    done = encode(in_process, weights, clip, tmp_path / "out.mkv")
    one_line(done, 1, f"{clip}: trial encodes: No space left on device in {disk}")
    assert not any(disk.iterdir())


def test_an_unknown_preset_is_told(in_process, weights, clip, tmp_path):
    done = encode(in_process, weights, clip, tmp_path / "out.mkv", "--preset", "fastish")
    one_line(done, 1, clip, "with preset fastish")
