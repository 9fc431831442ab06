"""Everything compiled that knows nets. It imports `_simd` alone.

Begin at `epoch_loop`, whose `train_tiles` trains tiles of nets for some epochs; `dispatch` says which products it gets.
"""
