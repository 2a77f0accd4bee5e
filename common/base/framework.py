"""Lazy import of TensorFlow with Keras 2; all modules import `tf` and `layers` from here.

Weight files are in Keras 2's layout. From TensorFlow 2.16 on, Keras 2 is a separate package,
tf-keras, which TensorFlow uses if an environment variable says so.

Importing TensorFlow takes seconds, so it is imported when an attribute of `tf` or `layers` is first
used. A module that uses one at import time, as in a decorator, a base class or an unquoted
annotation, imports TensorFlow immediately.
"""

import contextlib
import functools
import os
import tempfile
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

__all__ = ["layers", "tf"]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hide what native code prints to stderr, unless an error is raised.

    TensorFlow 2.21 reports missing CUDA libraries before it reads its log level.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # closed
        yield
        return
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@functools.cache
def _import() -> dict[str, Any]:
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    # TensorFlow's notices are of no use to users, and its errors are raised anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silence():
        import tensorflow

        return {"tf": tensorflow, "layers": tensorflow.keras.layers}


class _LazyModule(types.ModuleType):
    """A stand-in for a module that is imported when an attribute is first used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_import()[self.__name__], name)


if TYPE_CHECKING:
    import tensorflow as tf

    layers = tf.keras.layers
else:
    tf, layers = _LazyModule("tf"), _LazyModule("layers")
