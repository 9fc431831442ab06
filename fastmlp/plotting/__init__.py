"""Pictures of many nets: the `plot` of runs, sweeps, surveys and cross-validations. Needs matplotlib (extra ``plot``).

Every picture is drawn on axes that are given, or on new ones of pyplot's, and returns them.
"""

from fastmlp.plotting.comparison import ComparisonPlots
from fastmlp.plotting.cross_validation import CrossValidationPlots, LearningCurvePlots, PermutationTestPlots
from fastmlp.plotting.runs import RunsPlots
from fastmlp.plotting.survey import SurveyPlots
from fastmlp.plotting.sweep import SweepPlots

__all__ = [
    "ComparisonPlots",
    "CrossValidationPlots",
    "LearningCurvePlots",
    "PermutationTestPlots",
    "RunsPlots",
    "SurveyPlots",
    "SweepPlots",
]
