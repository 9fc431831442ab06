"""Benchmarks: `python -m benchmarks.xor`, and the classes that asv runs."""
