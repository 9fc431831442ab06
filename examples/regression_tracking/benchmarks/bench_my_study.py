"""asv: the study over commits."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from my_study import train_all


class MyStudy:
    """Kernels are warmed up in `setup`; the loss is tracked too, so that fast and wrong shows."""

    def setup(self):
        train_all()

    def time_train_all(self):
        train_all()

    def track_mean_loss(self):
        return float(train_all().mean())
