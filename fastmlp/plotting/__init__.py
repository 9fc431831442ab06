"""Pictures of many nets: `runs.plot.…` and `sweep.plot.…`. Needs matplotlib (extra ``plot``).

Every picture is drawn on axes that are given, or on new ones of pyplot's, and returns them.
"""

from fastmlp.plotting.runs import RunsPlots
from fastmlp.plotting.sweep import SweepPlots

__all__ = ["RunsPlots", "SweepPlots"]
