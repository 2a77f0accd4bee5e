"""Measurements and the model card, for maintainers; not in the wheel."""
