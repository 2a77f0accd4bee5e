"""TensorFlow with Keras 2, started in silence; every other module takes both from here.

The published weight files, and what is written here, are in Keras 2's layout. From TensorFlow 2.16
on that Keras is a package of its own, tf-keras, which TensorFlow takes where it is asked to.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

os.environ["TF_USE_LEGACY_KERAS"] = "1"
# TensorFlow's notices are nothing that a user can act on; what goes wrong is raised.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what libraries print to stderr past Python to themselves, unless an error comes of it.

    TensorFlow 2.21 says which CUDA it lacks before it looks at its log level.
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


with _silent():
    import tensorflow as tf

    layers = tf.keras.layers

__all__ = ["layers", "tf"]
