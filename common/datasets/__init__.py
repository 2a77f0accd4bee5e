"""Preparation of dataset roots from VideoSet, MCL-JCI or any pictures, and checks of them."""
