"""The engine, which runs the kernels: jobs, chunks, threads, cost model, memory, early stopping, prediction.

It takes checked arrays. It knows no files, no diagnosis, and no `Runs`.
"""
