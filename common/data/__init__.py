"""Image files, frames, and dataset roots: their layout, levels and manifest."""
