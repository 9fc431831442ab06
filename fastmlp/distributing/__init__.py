"""Run pure functions of (task, data) on whatever the user has: this process, pools, Dask, Ray, joblib.

What is run, and what its results mean, is not known here.
"""
