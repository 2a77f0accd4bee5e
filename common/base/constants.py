"""Constants shared by all packages.

Source: Nami, Pakdaman, Hashemi, Shirmohammadi, Gabbouj, "Lightweight Multitask Learning for Robust
JND Prediction using Latent Space and Reconstructed Frames", IEEE TCSVT 2024.
"""

LEVELS = ("JND1", "JND2", "JND3")
DEFAULT_MODEL = "MJLAT"  # its weights come with the project
# Size of a frame in pixels; number of filters in the backbone's layers and in its latent.
HEIGHT, WIDTH = 352, 640
FILTERS, LATENT_FILTERS = 128, 192
# The two scales of levels, and an end of each: QPs rise with coarseness, quality factors fall.
QP, QUALITY = "H.264 QP", "JPEG quality"
COARSEST_QP, FINEST_QUALITY = 51, 100
# All values of a level, from the finest to the coarsest.
SCALES = {QP: range(COARSEST_QP + 1), QUALITY: range(FINEST_QUALITY, 0, -1)}
# The scale that each value of --codec stands for, and of --unit.
CODEC_NAMES = {"h264": QP, "jpeg": QUALITY}
UNITS = {"QP": QP, "quality": QUALITY}
SPLITS = ("train", "valid", "test")
# Statistics that turn viewers' answers into a level (`datasets.viewers`).
STATISTICS = ("sur75", "median", "mean")
# Values of --runtime and --precision.
AUTO, OPENVINO, KERAS = RUNTIMES = ("auto", "openvino", "keras")
PRECISIONS = (AUTO, "float32", "bfloat16")
# Frames of a scene from which a video's levels are predicted, by default.
FRAMES_PER_SCENE = 3
# Suffix of entropy model files, which are kept next to the weight file.
ENTROPY_SUFFIX = ".entropy.npz"
# Name of this program in the `Software` field of the files that it writes.
SOFTWARE = "LASeR-JND"
# Folder where `prepare` keeps its state; a dataset root that contains it was made by `prepare`.
HIDDEN = ".prepare"
# Names of views up to version 0.9, and their present names.
OLD_VIEWS = {"squashed": "stretched", "cutouts": "crops"}
