"""Train thousands to millions of small neural nets at once, on ordinary CPUs, with the same bits everywhere."""

from fastmlp.architecture import Architecture
from fastmlp.gradients import LossAndGradients, loss_and_gradients
from fastmlp.initializers import Initializer, Normal, Uniform, VarianceScaling
from fastmlp.optimizers import SGD, Adam, Optimizer, RMSprop, Rprop
from fastmlp.runs import Network, Runs, Status
from fastmlp.training import Progress, TrainingInterrupted, train


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: importing the machinery takes a tenth of importing fastmlp."""
    if name != "__version__":
        raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("fastmlp")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


__all__ = [
    "SGD",
    "Adam",
    "Architecture",
    "Initializer",
    "LossAndGradients",
    "Network",
    "Normal",
    "Optimizer",
    "Progress",
    "RMSprop",
    "Rprop",
    "Runs",
    "Status",
    "TrainingInterrupted",
    "Uniform",
    "VarianceScaling",
    "loss_and_gradients",
    "train",
]
