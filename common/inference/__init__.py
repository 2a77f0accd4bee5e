"""Inference with trained models, by OpenVINO on a CPU or Keras on a GPU."""
