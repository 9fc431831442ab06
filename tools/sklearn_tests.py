"""Run scikit-learn's own tests of its multi-layer perceptrons on fastmlp's: `python tools/sklearn_tests.py`.

The tests are those of the installed scikit-learn, with the import of the two estimators replaced. Left out are those
that look inside: each is named here with the reason.
"""

import re
import sys
import tempfile
from pathlib import Path

import pytest
import sklearn
import sklearn.neural_network

PRIVATE = {
    "test_fit": "sets private attributes and calls _fit_stochastic",
    "test_gradient": "calls _loss_grad_lbfgs",
    "test_learning_rate_warmstart": "reads _optimizer.learning_rate",
    "test_adaptive_learning_rate": "reads _optimizer.learning_rate",
    "test_n_iter_no_change": "reads _no_improvement_count",
    "test_n_iter_no_change_inf": "reads _no_improvement_count",
}
PRIVATE_MODULES = {
    "test_base.py": "functions of scikit-learn's private module _base: its NumPy activations and losses",
    "test_stochastic_optimizers.py": "classes of scikit-learn's private module _stochastic_optimizers",
}


class _Plugin:
    """What scikit-learn's own conftest provides, and the tests that are left out."""

    @pytest.fixture
    def global_random_seed(self):
        return 42

    def pytest_collection_modifyitems(self, config, items):
        left_out = [item for item in items if item.originalname in PRIVATE]
        items[:] = [item for item in items if item.originalname not in PRIVATE]
        config.hook.pytest_deselected(items=left_out)


def main():
    source = Path(sklearn.neural_network.__file__).with_name("tests") / "test_mlp.py"
    text, replaced = re.subn(
        r"^from sklearn\.neural_network import (MLPClassifier, MLPRegressor)$",
        r"from fastmlp import \1",
        source.read_text(),
        flags=re.MULTILINE,
    )
    if replaced != 1:
        print(f"{source} does not import the estimators as expected: nothing was run")
        return 2
    missing = [name for name in PRIVATE if f"def {name}(" not in text]
    print(f"scikit-learn {sklearn.__version__}; left out, because they look inside:")
    for name, reason in (PRIVATE | PRIVATE_MODULES).items():
        print(f"  {name}: {reason}" + (" (not in this version)" if name in missing else ""))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_mlp.py").write_text(text)
        (Path(folder) / "pytest.ini").write_text("[pytest]\n")
        options = ["-q", "-p", "no:cacheprovider", "--rootdir", folder, folder, *sys.argv[1:]]
        return int(pytest.main(options, plugins=[_Plugin()]))


if __name__ == "__main__":
    sys.exit(main())
