"""A form of the models that trains in less time and memory on a CPU, and computes the same."""
