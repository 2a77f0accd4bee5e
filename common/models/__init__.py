"""Definitions of the six models, and reading and writing of their weight files."""
