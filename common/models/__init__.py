"""The backbone, the attention, the heads, the six models, and their weight files."""
