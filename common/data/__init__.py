"""Frames, the folder layout the models read, and the video codec."""
