"""Videos for tests, and what ffmpeg itself says of them."""

import re
import subprocess

import numpy as np

from common.base.temporary import temporary_folder
from common.encoding.containers import check_container
from common.encoding.delivery import deliver
from common.encoding.encoders import CONSTANT_QP, ENCODERS, Coding
from common.encoding.planning import ScenePlan, choose_windows, needs_trials, plan_scenes
from common.encoding.raw import RawVideo, choose_raw
from common.encoding.scores import Measure
from common.encoding.windows import write_windows
from common.video.ffmpeg import binary
from common.video.probe import probe
from common.video.scenes import Scene, find_scenes
from tests.synthetic import SCALE


def ffmpeg(*words) -> bytes:
    """What ffmpeg writes and says, run with these arguments."""
    command = [binary("libvmaf"), "-y", "-nostdin", "-hide_banner", *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=100)
    return done.stdout + done.stderr


def frames_by_ffmpeg(path, width: int, height: int) -> np.ndarray:
    """All frames as RGB, uint8 [frames, height, width, 3]."""
    chain = f"scale={SCALE},format=rgb24"
    data = ffmpeg("-loglevel", "error", "-i", path, "-vf", chain, "-f", "rawvideo", "-")
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)


def pixels(path, first=0, end=10**6) -> list[str]:
    """Checksums of the decoded frames."""
    cut = f"trim=start_frame={first}:end_frame={end}"
    words = ("-i", path, "-map", "0:V:0", "-vf", cut, "-fps_mode", "passthrough", "-f", "framemd5")
    lines = ffmpeg("-loglevel", "error", *words, "-").decode().splitlines()
    return [line.split(",")[-1].strip() for line in lines if not line.startswith("#")]


def plan_scene(
    raw: RawVideo,
    scene: Scene,
    level: float,
    limits: tuple[int, int | None] = (1, None),
    target: float = 94.5,
    encoder: str = "x264",
    rate_control: str = "qp",
) -> ScenePlan:
    """Plan one scene, verified by trials."""
    coding = Coding(ENCODERS[encoder], rate_control, "", False, *limits)
    with temporary_folder() as folder:
        written = write_windows(raw, choose_windows([scene], coding), folder)
        clips = next(written) if needs_trials(raw, coding, verify=True) else []
        goal = {"target_vmaf": target, "measure": Measure()}
        (plan,) = plan_scenes(raw, [scene], [(level, clips)], coding, **goal)
    return plan


def times(path) -> np.ndarray:
    """When frames are shown, in seconds after the first."""
    said = ffmpeg("-i", path, "-map", "0:V:0", "-vf", "showinfo", "-f", "null", "-").decode()
    found = np.array([float(each) for each in re.findall(r" pts_time:(\S+)", said)])
    return found[: len(pixels(path))] - found[0]


def streams(path) -> str:
    """What ffmpeg says of a file."""
    command = [binary("libvmaf"), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True).stderr


def deliver_plainly(path, target, encoder="x264", qp=20):
    """Encode a video at one QP, without a model; its notes."""
    raw = choose_raw(probe(path), encoder)
    coding = Coding(ENCODERS[encoder], CONSTANT_QP)
    notes = [*raw.notes, *check_container(raw, target, coding)]
    plans = [ScenePlan(scene=scene, level=qp, quantizer=qp) for scene in find_scenes(raw.video)]
    deliver(raw, target, plans, coding, None)
    return notes
