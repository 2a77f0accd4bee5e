"""Encoding of videos scene by scene, each at its predicted level."""
