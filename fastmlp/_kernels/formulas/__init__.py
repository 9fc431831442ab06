"""Activations, losses and optimizer steps: their names, and each formula once, on vectors.

The kernels, the checks, the scalar reference and the docs read the tables here. It knows nothing of how nets are laid
out.
"""
