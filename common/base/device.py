"""Processor and precision for TensorFlow."""

import contextlib
import ctypes.util
import functools
import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .framework import tf

_log = logging.getLogger(__name__)
# Compute capability of Blackwell GPUs, on which convolutions need cuDNN 9.
_FIRST_OF_CUDNN_9 = (10, 0)


@functools.cache
def choose_device(precision: str) -> tuple[str, str]:
    """Set up TensorFlow; return "GPU" or "CPU", and the precision to compute in.

    A CUDA GPU is used if there is one, and its memory is allocated as needed. A CPU without
    bfloat16 arithmetic computes in float32 whatever `precision` is. The choice is logged once.
    """
    if names := describe_gpus():
        for line in (f"Running on {names[0]} in {precision}.", *names[1:]):
            _log.info(line)
        return "GPU", precision
    precision, remark = cpu_precision(precision)
    _log.info("Running on the CPU in %s.%s%s", precision, remark_on_libraries(), remark)
    return "CPU", precision


def describe_gpus() -> list[str]:
    """Describe the CUDA GPUs, and let TensorFlow allocate their memory as needed.

    Returns:
        A line with their names, then a remark on each card that this TensorFlow was not built
        for; empty if it sees no GPU.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        return []
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    lines = [", ".join(each["device_name"] for each in details)]
    for each in details:
        capability = each.get("compute_capability")  # only of CUDA GPUs
        if remark := capability and remark_on_card(each["device_name"], capability):
            lines.append(remark)
    return lines


def has_cuda() -> bool:
    """Tell whether a CUDA driver and libraries are installed, so that TensorFlow may find a GPU."""
    libraries = importlib.util.find_spec("nvidia") or ctypes.util.find_library("cudnn")
    return _has_nvidia_driver() and bool(libraries)


def cpu_precision(precision: str) -> tuple[str, str]:
    """Choose the precision for the CPU, given the requested one; return it and a remark.

    "auto" is bfloat16 only if the CPU has arithmetic for it: emulation is slower than float32.
    """
    cpu = Path("/proc/cpuinfo")
    if cpu.exists() and multiplies_bfloat16(cpu.read_text()):
        return "bfloat16" if precision == "auto" else precision, ""
    requested = precision == "bfloat16"
    return "float32", " bfloat16 would be slower: the CPU has no such arithmetic." * requested


def remark_on_libraries() -> str:
    """Make a remark if there is a GPU that TensorFlow cannot use; otherwise empty."""
    if not _has_nvidia_driver():
        return ""
    return (
        " There is an NVIDIA GPU, but its libraries are missing or of the wrong version:"
        " pip install -r requirements-gpu.txt."
    )


def remark_on_card(
    name: str, capability: tuple[int, int], build: Mapping[str, Any] | None = None
) -> str | None:
    """Make a remark on a card for which TensorFlow has no machine code; None if it has some.

    Args:
        capability: the card's compute capability, such as (9, 0) for an H100.
        build: TensorFlow's build info, by default of the installed version. Among its
            `cuda_compute_capabilities`, "sm_80" is machine code for 8.0 and later 8.x, and
            "compute_80" is that, plus code that is compiled on first use for any later card.
    """
    build = build or tf.sysconfig.get_build_info()
    built_for = build["cuda_compute_capabilities"]
    for target in built_for:
        major, minor = divmod(int(target.split("_")[1]), 10)
        if major == capability[0] and minor <= capability[1]:
            return None
    newer = [int(target[8:]) for target in built_for if target.startswith("compute_")]
    known = capability < _FIRST_OF_CUDNN_9 or int(build["cudnn_version"]) >= 9
    if known and newer and divmod(min(newer), 10) <= capability:
        return (
            f"TensorFlow {tf.__version__} compiles its code for this {name} at the first start, "
            "which takes minutes; export CUDA_CACHE_MAXSIZE=4294967296 to keep all of it."
        )
    return (
        f"TensorFlow {tf.__version__} has no code for this {name} (compute capability "
        f"{'.'.join(map(str, capability))}): it may fail; see docs/speed.md for versions that do."
    )


def multiplies_bfloat16(cpuinfo: str) -> bool:
    """Tell from Linux's /proc/cpuinfo whether a processor has bfloat16 arithmetic.

    On others, oneDNN's kernels convert to float32 and back.
    """
    return bool({"avx512_bf16", "amx_bf16"} & set(cpuinfo.split()))


def use_precision(precision: str) -> None:
    """Build models in "float32" or "bfloat16" from now on, in both cases with float32 weights."""
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    tf.keras.mixed_precision.set_global_policy(policy)


@contextlib.contextmanager
def precision_policy(precision: str) -> Iterator[None]:
    """Build models in "float32" or "bfloat16" within a block, then restore Keras's policy."""
    policies = tf.keras.mixed_precision
    before = policies.global_policy()
    policies.set_global_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        yield
    finally:
        policies.set_global_policy(before)


def choose_strategy() -> "tf.distribute.Strategy":
    """Choose where to train: on the machines in TF_CONFIG, on all GPUs, or on one processor."""
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def writes_files() -> bool:
    """Tell whether this process writes the files: with several machines, only the first does."""
    return tf.distribute.cluster_resolver.TFConfigClusterResolver().task_id in (None, 0)


def _has_nvidia_driver() -> bool:
    return any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/dxg"))
