"""Train thousands to millions of small neural nets at once, on ordinary CPUs, with the same bits everywhere."""

from typing import TYPE_CHECKING, Any

from fastmlp._io.safetensors import FileFormatError
from fastmlp._moved import find_moved_modules
from fastmlp._version import BITS_VERSION, version
from fastmlp.architecture import Architecture
from fastmlp.audit import GradientAudit, audit_gradients
from fastmlp.comparison import Comparison, compare
from fastmlp.cross_validation import (
    CrossValidation,
    LearningCurve,
    PermutationTest,
    cross_validate,
    learning_curve,
    permutation_test,
)
from fastmlp.diagnosis import Cause, Diagnosis
from fastmlp.estimation import Estimate, estimate
from fastmlp.gradients import LossAndGradients, loss_and_gradients
from fastmlp.initializers import Initializer, Normal, Uniform, VarianceScaling
from fastmlp.loading import load
from fastmlp.optimizers import SGD, Adam, Optimizer, RMSprop, Rprop
from fastmlp.runs import Network, Runs, Status
from fastmlp.surveying import Survey, SurveyError, SurveyInterrupted, survey
from fastmlp.sweeping import Sweep, sweep
from fastmlp.training import Progress, TrainingInterrupted, resume, train

find_moved_modules()

if TYPE_CHECKING:
    from fastmlp.estimators import MLPClassifier, MLPRegressor, MLPSearchCV


def __getattr__(name: str) -> Any:
    """Import on first use: the estimators, which need scikit-learn, and `__version__`."""
    if name in ("MLPClassifier", "MLPRegressor", "MLPSearchCV"):
        try:
            from fastmlp import estimators
        except ImportError as error:
            raise ImportError(
                f"fastmlp.{name} needs scikit-learn 1.6 or newer: pip install 'fastmlp[sklearn]'; "
                "fastmlp.train works without it"
            ) from error
        return getattr(estimators, name)
    if name != "__version__":
        raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")
    return version()


def __dir__() -> list[str]:
    """The public names and modules."""
    return sorted({*__all__, "__version__", *(name for name in globals() if not name.startswith("_"))} - _NOT_SHOWN)


_NOT_SHOWN = {"Any", "TYPE_CHECKING", "annotations", "version", "find_moved_modules"}

__all__ = [
    "BITS_VERSION",
    "SGD",
    "Adam",
    "Architecture",
    "Cause",
    "Comparison",
    "CrossValidation",
    "Diagnosis",
    "Estimate",
    "FileFormatError",
    "GradientAudit",
    "Initializer",
    "LearningCurve",
    "LossAndGradients",
    "MLPClassifier",
    "MLPRegressor",
    "MLPSearchCV",
    "Network",
    "Normal",
    "Optimizer",
    "PermutationTest",
    "Progress",
    "RMSprop",
    "Rprop",
    "Runs",
    "Status",
    "Survey",
    "SurveyError",
    "SurveyInterrupted",
    "Sweep",
    "TrainingInterrupted",
    "Uniform",
    "VarianceScaling",
    "audit_gradients",
    "compare",
    "cross_validate",
    "estimate",
    "learning_curve",
    "load",
    "loss_and_gradients",
    "permutation_test",
    "resume",
    "survey",
    "sweep",
    "train",
]
