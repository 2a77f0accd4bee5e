"""Image files and frames, the folder layout that the models read, and what is known of it."""
