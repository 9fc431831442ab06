"""Activations, losses and optimizer steps: their names, and each formula once, on vectors.

The kernels, the checks, the scalar reference and the docs use these tables. It knows nothing of the layout of nets.
"""
