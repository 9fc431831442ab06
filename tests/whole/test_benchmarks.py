"""What fastmlp is compared with trains the same nets: from the same weights to the same losses."""

import numpy as np
import pytest

from benchmarks import numpy_nets, peers
from benchmarks.compare import Competitor, baselines, check_losses
from benchmarks.workloads import WORKLOADS, Workload

SMALL = [
    Workload((2, 4, 1), 5, 7),
    Workload((2, 4, 4, 1), 5, 7, "adam"),
    Workload((6, 5, 1), 5, 3, "adam", 23, 8),
    Workload((6, 5, 4), 5, 3, "adam", 23, 8),
]


@pytest.mark.parametrize("workload", SMALL, ids=lambda w: w.name)
def test_numpy_trains_the_same_nets(workload):
    X, y = workload.data()
    for name, trainer in baselines(workload).items():
        weights, biases = workload.initial(5, "float64")
        trainer(workload, weights, biases, X, y, workload.epochs)
        expected = workload.train(dtype="float64")
        np.testing.assert_allclose(weights[0], expected.weights[0], rtol=1e-9, atol=1e-12, err_msg=name)
        losses = numpy_nets.loss_of(workload, weights, biases, X, y)
        np.testing.assert_allclose(losses, expected.loss, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("workload", SMALL, ids=lambda w: w.name)
@pytest.mark.parametrize(
    ("name", "nets"), [("JAX jit(vmap)", 5), ("JAX jit(vmap)", 1), ("PyTorch stacked", 5), ("PyTorch nn.Linear", 1)]
)
@pytest.mark.filterwarnings("ignore")
def test_peers_train_the_same_nets(workload, name, nets):
    if name not in peers.installed():
        pytest.skip(f"{name} is not installed")
    X, y = workload.data()
    run = peers.installed()[name](workload, *workload.initial(nets), X, y)
    for _ in range(2):  # each call begins anew
        np.testing.assert_allclose(run(workload.epochs), workload.train(nets=nets).loss, rtol=1e-4, atol=1e-5)


def test_a_competitor_with_other_losses_is_refused():
    workload = SMALL[2]
    losses = workload.train().loss
    same = Competitor("same", 5, lambda epochs: workload.train(epochs).loss, 0.0, workload.epochs)
    other = Competitor("other", 5, lambda _: 2 * losses + 1, 0.0, workload.epochs)
    check_losses(workload, [same])
    with pytest.raises(SystemExit, match="other has a loss of"):
        check_losses(workload, [same, other])


def test_nets_of_the_wide_workloads_do_not_become_certain():
    """Or else gradients are subnormal, which slows other libraries down on some processors."""
    assert Workload((784, 32, 10), 1, 2, "adam", 10_000, 128).train().loss[0] > 0.3


def test_the_workloads_are_those_of_the_table():
    assert [w.sizes for w in WORKLOADS[:6]] == [
        (2, 4, 1),
        (2, 16, 1),
        (2, 4, 4, 1),
        (24, 8, 1),
        (30, 32, 1),
        (64, 64, 10),
    ]
    assert min(w.nets for w in WORKLOADS) == 1
