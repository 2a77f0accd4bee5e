"""The package as a library: what importing and using it leaves in the process."""

import subprocess
import sys

from tests.processes import REPO

# Settings of the host process that this package needs otherwise while it works.
PROGRAM = """
import sys, warnings
import PIL.Image

import common
assert not [name for name in sys.modules if name.split(".")[0] in ("numpy", "tensorflow")]
assert not [name for name in sys.modules if name.startswith("common.")]
assert common.__version__ and "Predictor" in dir(common)

from common.base.framework import tf

PIL.Image.MAX_IMAGE_PIXELS = 1000
warnings.filterwarnings("error", module="mine")
tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
settings = lambda: (
    PIL.Image.MAX_IMAGE_PIXELS,
    list(warnings.filters),
    tf.keras.mixed_precision.global_policy().name,
)
given = settings()

for runtime in ("keras", "auto"):
    predictor = common.Predictor(runtime=runtime, model_cache=False)
    (prediction,) = predictor.predict([sys.argv[1]])
    assert prediction.levels["JND1"] < prediction.levels["JND3"]
    (failure,) = predictor.predict([sys.argv[2]])
    assert isinstance(failure.error, common.UserError)
assert settings() == given, (given, settings())
try:
    common.nothing
except AttributeError as error:
    print(error)
"""


def test_it_leaves_the_process_as_it_was(tmp_path):
    sample = next((REPO / "samples" / "test").glob("*.webp"))  # of more than 1000 pixels
    given = [sys.executable, "-c", PROGRAM, str(sample), str(tmp_path / "none.png")]
    done = subprocess.run(given, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "module 'common' has no attribute 'nothing'\n"
    assert done.stderr == ""
