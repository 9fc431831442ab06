"""What drives the kernels: a job and its chunks on threads, cost model, memory, early stopping, prediction.

It takes arrays that have been checked. It knows no files, no diagnosis, and no `Runs`.
"""
