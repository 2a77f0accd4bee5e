"""Numbers and names that all packages share: those of the published system, and choices.

Source: Nami, Pakdaman, Hashemi, Shirmohammadi, Gabbouj, "Lightweight Multitask Learning for Robust
JND Prediction using Latent Space and Reconstructed Frames", IEEE TCSVT 2024.
"""

LEVELS = ("JND1", "JND2", "JND3")
DEFAULT_MODEL = "MJLAT"  # whose weights come with the project
# A frame in pixels; filters of the backbone's layers, and of the layer that makes the latent.
HEIGHT, WIDTH = 352, 640
FILTERS, LATENT_FILTERS = 128, 192
# What a level may be, and the ends of both scales: as frames grow coarser, QPs rise and quality
# factors fall.
QP, QUALITY = "H.264 QP", "JPEG quality"
COARSEST_QP, FINEST_QUALITY = 51, 100
# All values of a level, from the finest to the coarsest.
SCALES = {QP: range(COARSEST_QP + 1), QUALITY: range(FINEST_QUALITY, 0, -1)}
# Values of --unit, by what they stand for.
UNITS = {"QP": QP, "quality": QUALITY}
SPLITS = ("train", "valid", "test")
# How a level is made of viewers' answers (`datasets.viewers`).
STATISTICS = ("sur75", "median", "mean")
# Values of --runtime and --precision.
AUTO, OPENVINO, KERAS = RUNTIMES = ("auto", "openvino", "keras")
PRECISIONS = (AUTO, "float32", "bfloat16")
# Suffix of entropy model files, which lie beside the weight file.
ENTROPY_SUFFIX = ".entropy.npz"
# The name of this program in files that record the software that wrote them.
SOFTWARE = "LASeR-JND"
# Folder where `prepare` keeps its state; a dataset root that contains it was made by `prepare`.
HIDDEN = ".prepare"
# Views of pictures: the names that versions up to 0.9 gave them, and today's.
OLD_VIEWS = {"squashed": "stretched", "cutouts": "crops"}
