"""TensorFlow with Keras 2, imported in silence when first used; all modules take both from here.

The published weight files, and those written here, are in Keras 2's layout. From TensorFlow 2.16 on
Keras 2 is a package of its own, tf-keras, which TensorFlow uses on request.

Importing TensorFlow takes seconds, and commands that turn out to need none import none. So `tf`
and `layers` may be imported anywhere; only where a module uses them while it is being imported,
as in decorators, base classes and unquoted annotations, is TensorFlow imported with it.
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
    """Hold back what libraries print to stderr past Python, unless an error is raised.

    TensorFlow 2.21 reports which CUDA libraries are missing before it reads its log level.
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
    # A user cannot act on TensorFlow's notices, and what goes wrong is raised.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silence():
        import tensorflow

        return {"tf": tensorflow, "layers": tensorflow.keras.layers}


class _LazyModule(types.ModuleType):
    """Stands for a module, which is imported at the first access to an attribute."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_import()[self.__name__], name)


if TYPE_CHECKING:
    import tensorflow as tf

    layers = tf.keras.layers
else:
    tf, layers = _LazyModule("tf"), _LazyModule("layers")
