"""Training backbones and predictors."""
