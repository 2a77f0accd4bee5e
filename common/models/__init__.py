"""The backbone, the attention, the heads, the six models, their weight files and their fast form."""
