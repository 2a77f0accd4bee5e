"""Evaluation of predictors and backbones."""
