"""Which processor does the work, in which precision."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import tensorflow as tf


@functools.cache
def choose_device(precision: str) -> str:
    """Set TensorFlow up for the machine; 'GPU' or 'CPU'. One line on stderr says which, once.

    A visible CUDA GPU is used, with memory taken as needed. `precision` ('float32' or 'bfloat16')
    is only spoken of.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        names = [tf.config.experimental.get_device_details(gpu)["device_name"] for gpu in gpus]
        print(f"Running on {', '.join(names)} in {precision}.", file=sys.stderr)
        return "GPU"
    remark = ""
    if _nvidia_driver():
        remark = (
            " There is an NVIDIA GPU, but its libraries are missing or do not fit:"
            " pip install -r requirements-gpu.txt."
        )
    if precision == "bfloat16" and not _multiplies_bfloat16():
        remark += " This CPU has no bfloat16 arithmetic: float32 is faster on it."
    print(f"Running on the CPU in {precision}.{remark}", file=sys.stderr)
    return "CPU"


def use_precision(precision: str) -> None:
    """Build the models to come in 'float32' or 'bfloat16', with weights in float32 either way."""
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    tf.keras.mixed_precision.set_global_policy(policy)


def choose_strategy() -> tf.distribute.Strategy:
    """Several machines where TF_CONFIG names them, several GPUs where there are, else this one."""
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def writes_files() -> bool:
    """Whether the files of this process count: of several machines, those of the first do."""
    return tf.distribute.cluster_resolver.TFConfigClusterResolver().task_id in (None, 0)


def _nvidia_driver() -> bool:
    return any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/dxg"))


def _multiplies_bfloat16() -> bool:
    # oneDNN has bfloat16 kernels for AVX-512 and for AMX.
    cpu = Path("/proc/cpuinfo")
    return not cpu.exists() or "avx512bw" in cpu.read_text()
