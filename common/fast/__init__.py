"""Equivalent forms of the models that train in less time and memory on a CPU."""
