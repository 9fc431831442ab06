"""All compiled code about nets. It imports only `_simd`.

Start reading at `epoch_loop`: `train_tiles` trains tiles of nets for some epochs; `dispatch` selects the kernel.
"""
