"""LASeR-JND: just noticeable difference levels predicted from one frame."""

import os

# TensorFlow's start-up notices are nothing that a user can act on; what goes wrong is raised.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
