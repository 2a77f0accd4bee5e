"""Training of backbones and predictors."""
