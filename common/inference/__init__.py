"""Inference with trained models: OpenVINO on a CPU or Keras on a GPU, behind one interface."""
