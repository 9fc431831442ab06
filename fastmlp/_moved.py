"""Load pickles that name modules as they were called before the library was divided into packages."""

from __future__ import annotations

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "fastmlp._calls": ("fastmlp.settings",),
    "fastmlp._causes": ("fastmlp.diagnosis.causes",),
    "fastmlp._fixes": ("fastmlp.diagnosis.fixes", "fastmlp.diagnosis.trials"),
    "fastmlp._formulas": (
        "fastmlp._kernels.formulas.activations",
        "fastmlp._kernels.formulas.losses",
        "fastmlp._kernels.formulas.optimizers",
    ),
    "fastmlp._state": ("fastmlp._engine.optimizer_state",),
}
RENAMED = {"Call": "TrainSettings"}


class _Finder(MetaPathFinder, Loader):
    """Finds a module by its former name; used only if no other finder knows the name."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        """Give the module the attributes of the modules that replace it."""
        there: dict[str, Any] = {}
        for name in MOVED[module.__name__]:
            there |= vars(importlib.import_module(name))
        there |= {former: there[name] for former, name in RENAMED.items() if name in there}
        module.__dict__.update({name: value for name, value in there.items() if not name.startswith("__")})


def find_moved_modules() -> None:
    """Install the finder, so that old pickles can be loaded."""
    if not any(type(finder).__name__ == _Finder.__name__ for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
