"""The learned image codec: entropy model, range coders, and the bitstream file format."""
