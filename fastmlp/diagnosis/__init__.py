"""Why is my net stuck? One cause a net, said as a person would, and what to change first.

It takes nets through the protocol `TrainedNets`, and never imports `train`: what trains again is handed in.
"""

from fastmlp.diagnosis.causes import Cause, Plateau
from fastmlp.diagnosis.examine import diagnose
from fastmlp.diagnosis.fixes import Fix
from fastmlp.diagnosis.report import Diagnosis
from fastmlp.diagnosis.trials import Trial

__all__ = ["Cause", "Diagnosis", "Fix", "Plateau", "Trial", "diagnose"]
