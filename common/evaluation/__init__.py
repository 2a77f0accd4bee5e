"""Testing, and what it measures."""
