"""Vectors in compiled code: their types, arithmetic and memory, elementary functions, and how functions are compiled.

It knows nothing of nets, and imports nothing of fastmlp.
"""
