"""A video encoded scene by scene, each at the level predicted for it."""
