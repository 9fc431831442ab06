"""Why is my net stuck? One cause for each net, in plain words, and what to change first.

It reads nets through the protocol `TrainedNets`. It never imports `train`; callers pass the function that trains again.
"""

from fastmlp.diagnosis.causes import Cause, Plateau
from fastmlp.diagnosis.examine import diagnose
from fastmlp.diagnosis.fixes import Fix
from fastmlp.diagnosis.report import Diagnosis
from fastmlp.diagnosis.trials import Trial

__all__ = ["Cause", "Diagnosis", "Fix", "Plateau", "Trial", "diagnose"]
