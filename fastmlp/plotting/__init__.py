"""Pictures of many nets: `runs.plot.…`, `sweep.plot.…` and `survey.plot.…`. Needs matplotlib (extra ``plot``).

Every picture is drawn on axes that are given, or on new ones of pyplot's, and returns them.
"""

from fastmlp.plotting.runs import RunsPlots
from fastmlp.plotting.survey import SurveyPlots
from fastmlp.plotting.sweep import SweepPlots

__all__ = ["RunsPlots", "SurveyPlots", "SweepPlots"]
