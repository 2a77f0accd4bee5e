"""Which processor is good for what, and what is said of it."""

import importlib.util
import logging
import re
from pathlib import Path

import pytest

from common.base import device
from common.base.device import multiplies_bfloat16, remark_on_card
from common.base.errors import UserError
from common.inference import runtime
from tests import golden
from tests.processes import without_progress

pytestmark = pytest.mark.tensorflow

# As `tf.sysconfig.get_build_info()` gives them.
TENSORFLOW_2_14 = {
    "cuda_compute_capabilities": ["sm_35", "sm_50", "sm_60", "sm_70", "sm_75", "compute_80"],
    "cudnn_version": "8",
}
TENSORFLOW_2_21 = {
    "cuda_compute_capabilities": ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"],
    "cudnn_version": "9",
}

# NVIDIA's compute capabilities, and its rule: machine code runs within a generation on its own and
# later steps; PTX is compiled for all later cards. "compute_90" stands for both: TensorFlow 2.21's
# libtensorflow_cc.so.2 has 249 fat binaries each for sm_60, 70, 80, 89 and 90, and PTX 9.0; that of
# 2.14 has 245 each for sm_35, 50, 60, 70, 75 and 80, and PTX 8.0.
CARDS = [
    ("Tesla P100", (6, 0), "runs", "runs"),
    ("Tesla V100", (7, 0), "runs", "runs"),
    ("GeForce RTX 2080", (7, 5), "runs", "runs"),
    ("A100", (8, 0), "runs", "runs"),
    ("GeForce RTX 3090", (8, 6), "runs", "runs"),
    ("GeForce RTX 4090", (8, 9), "runs", "runs"),
    ("H100", (9, 0), "compiles", "runs"),
    ("GeForce RTX 5090", (12, 0), "none", "compiles"),
    ("Tesla K80", (3, 7), "runs", "none"),
    ("GeForce GTX 980", (5, 2), "runs", "none"),
]


@pytest.mark.parametrize(("name", "capability", "of_2_14", "of_2_21"), CARDS)
def test_cards(name, capability, of_2_14, of_2_21):
    for build, expected in ((TENSORFLOW_2_14, of_2_14), (TENSORFLOW_2_21, of_2_21)):
        remark = remark_on_card(name, capability, build)
        if expected == "runs":
            assert remark is None
        else:
            assert f"this {name}" in remark and "\n" not in remark
            word = {"compiles": "CUDA_CACHE_MAXSIZE", "none": "no code"}[expected]
            assert word in remark


def test_this_tensorflow_has_machine_code_for_a_v100():
    assert remark_on_card("Tesla V100", (7, 0)) is None


def test_machine_code_of_a_later_step_does_not_run_on_an_earlier_card():
    build = {**TENSORFLOW_2_21, "cuda_compute_capabilities": ["sm_86", "compute_90"]}
    assert "no code" in remark_on_card("A100", (8, 0), build)
    assert remark_on_card("RTX A6000", (8, 6), build) is None


# The flags of Linux's /proc/cpuinfo that matter, as such processors have them.
PROCESSORS = [
    ("flags\t\t: fpu avx2 fma", False),  # AMD Zen 3
    ("flags\t\t: avx512f avx512bw avx512_vnni", False),  # Intel Cascade Lake
    ("flags\t\t: avx512f avx512bw avx512_bf16 clzero", True),  # AMD Zen 4
    ("flags\t\t: avx512f avx512_bf16 amx_bf16 amx_tile amx_int8", True),  # Intel Sapphire Rapids
]


@pytest.mark.parametrize(("flags", "has_it"), PROCESSORS)
def test_processors_that_have_bfloat16(flags, has_it):
    assert multiplies_bfloat16(flags) == has_it


@pytest.mark.parametrize(
    ("asked", "gpu", "installed", "has_it", "expected", "said"),
    [
        (("auto", "float32"), False, True, True, ("openvino", "float32"), "with OpenVINO in"),
        (("auto", "auto"), False, True, True, ("openvino", "bfloat16"), "in bfloat16."),
        (("auto", "auto"), False, True, False, ("openvino", "float32"), "in float32."),
        (("keras", "auto"), False, True, True, ("keras", "float32"), "the CPU with Keras in"),
        (("auto", "auto"), False, False, True, ("keras", "float32"), "OpenVINO, which is faster,"),
        (("auto", "auto"), True, True, True, ("keras", "float32"), "on A100 with Keras in"),
        (("openvino", "auto"), True, True, True, ("openvino", "bfloat16"), "with OpenVINO in"),
    ],
)
def test_what_predicts_where(asked, gpu, installed, has_it, expected, said, monkeypatch, caplog):
    monkeypatch.setattr(runtime, "has_cuda", lambda: gpu)
    monkeypatch.setattr(runtime, "describe_gpus", lambda: ["A100"] if gpu else [])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: installed or None)
    monkeypatch.setattr(device, "multiplies_bfloat16", lambda flags: has_it)
    with caplog.at_level(logging.INFO):
        assert runtime.choose_runtime.__wrapped__(*asked) == expected
    assert said in caplog.text


def test_openvino_that_is_not_installed_is_missed_where_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install openvino"):
        runtime.choose_runtime.__wrapped__("openvino", "float32")


def test_a_processor_without_bfloat16_says_so_and_computes_in_float32(command, tmp_path):
    cpu = Path("/proc/cpuinfo")
    has_it = cpu.exists() and multiplies_bfloat16(cpu.read_text())
    weights, results = tmp_path / "BestModelJND1.h5", tmp_path / "results"
    golden.write_weights("LAT", weights)
    asked = "LAT.py", "test", "--jnd_value", "JND1", "--model_weights_path", weights
    done = command(*asked, "--result_path", results, "--precision", "bfloat16")
    assert done.returncode == 0, done.stderr
    (said,) = without_progress(done.stderr)
    if has_it:
        assert re.match(r"Running on the CPU with \w+ in bfloat16\.", said)
    else:
        assert re.match(r"Running on the CPU with \w+ in float32\.", said)
        assert said.endswith(" bfloat16 would be slower: the CPU has no such arithmetic.")
