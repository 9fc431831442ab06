"""Train thousands to millions of small neural nets at once, on ordinary CPUs, with the same bits everywhere."""

from importlib.metadata import PackageNotFoundError, version

from fastmlp.architecture import Architecture
from fastmlp.gradients import LossAndGradients, loss_and_gradients
from fastmlp.initializers import Initializer, Normal, Uniform, VarianceScaling
from fastmlp.optimizers import SGD, Adam, Optimizer, RMSprop, Rprop
from fastmlp.runs import Network, Runs, Status
from fastmlp.training import Progress, TrainingInterrupted, train

try:
    __version__ = version("fastmlp")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "unknown"

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
