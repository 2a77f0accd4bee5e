"""Trained models at work: by OpenVINO on a CPU, by Keras on a GPU, behind one small interface."""
