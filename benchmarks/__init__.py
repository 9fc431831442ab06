"""Benchmarks: `python -m benchmarks.compare`, the gate, and the classes that asv runs."""
