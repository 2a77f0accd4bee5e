"""Testing predictors and backbones, and what it measures."""
