"""Vectors in compiled code: types, arithmetic, memory access, elementary functions, and compilation.

It knows nothing of nets, and imports nothing of fastmlp.
"""
