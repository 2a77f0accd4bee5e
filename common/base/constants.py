"""What all rooms agree on: the published system's numbers and names.

Source: Nami, Pakdaman, Hashemi, Shirmohammadi, Gabbouj, "Lightweight Multitask Learning for Robust
JND Prediction using Latent Space and Reconstructed Frames", IEEE TCSVT 2024.
"""

LEVELS = ("JND1", "JND2", "JND3")
# A frame in pixels, and the filters of the backbone's layers and of the one that makes the latent.
HEIGHT, WIDTH = 352, 640
FILTERS, LATENT_FILTERS = 128, 192
# What a level is, and the coarsest ones: QPs rise as frames grow coarser, quality factors fall.
QP, QUALITY = "H.264 QP", "JPEG quality"
COARSEST_QP, FINEST_QUALITY = 51, 100
# All that a level may be, from the finest to the coarsest.
SCALES = {QP: range(COARSEST_QP + 1), QUALITY: range(FINEST_QUALITY, 0, -1)}
# Suffix of entropy model files, which lie beside the weight file.
ENTROPY_SUFFIX = ".entropy.npz"
# The name of this program in files with a field for the software that made them.
SOFTWARE = "LASeR-JND"
# Where common.prepare keeps what lets it go on; a folder that has it is one that it made.
HIDDEN = ".prepare"
