"""Forms of the models that take less time and memory on a CPU, and compute the same."""
