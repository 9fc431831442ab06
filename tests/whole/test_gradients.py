"""Gradients against central differences, and trajectories against PyTorch where it is installed."""

import numpy as np
import pytest

import fastmlp
from fastmlp._kernels.formulas.activations import HIDDEN_ACTIVATIONS
from tests.support.cases import FIRST, LOSSES

ALL = tuple(HIDDEN_ACTIVATIONS)


def example(rng, output, nets=3, n=11, names=FIRST):
    sizes = (3, 5, 4, 3 if output == "softmax" else 2)
    hidden = tuple(rng.choice(names, 2).tolist())
    arch = fastmlp.Architecture(sizes, hidden, output, leaky_slope=0.2)
    scale = 0.3 if output == "exp" else 1.0
    weights = [scale * rng.normal(size=(nets, a, b)) for a, b in arch.shapes]
    biases = [rng.normal(size=(nets, b)) for _, b in arch.shapes]
    X = rng.normal(size=(n, 3))
    targets = {
        "softmax": lambda: rng.integers(0, 3, n),
        "sigmoid": lambda: rng.random((n, 2)),
        "exp": lambda: rng.poisson(1.0, (n, 2)),
    }
    y = targets.get(output, lambda: rng.normal(size=(n, 2)))()
    return arch, weights, biases, X, y, rng.uniform(0.1, 2, n)


@pytest.mark.parametrize(("output", "loss"), [(output, loss) for output, losses in LOSSES.items() for loss in losses])
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))])
def test_every_gradient_is_the_central_difference(output, loss, seed):
    """From seed 2 on with all hidden activations."""
    rng = np.random.default_rng(seed)
    arch, weights, biases, X, y, sample_weight = example(rng, output, names=FIRST if seed < 2 else ALL)
    result = fastmlp.loss_and_gradients(arch, weights, biases, X, y, loss=loss, sample_weight=sample_weight)
    step = 1e-6
    for arrays, gradients in ((weights, result.weight_gradients), (biases, result.bias_gradients)):
        for array, gradient in zip(arrays, gradients, strict=True):
            for index in np.ndindex(array.shape[1:]):
                at = (slice(None), *index)
                kept = array[at].copy()
                array[at] = kept + step
                above = fastmlp.loss_and_gradients(arch, weights, biases, X, y, loss=loss, sample_weight=sample_weight)
                array[at] = kept - step
                below = fastmlp.loss_and_gradients(arch, weights, biases, X, y, loss=loss, sample_weight=sample_weight)
                array[at] = kept
                difference = (above.loss - below.loss) / (2 * step)
                np.testing.assert_allclose(gradient[at], difference, rtol=2e-5, atol=2e-8)
    assert all((np.abs(gradient) > 1e-6).any() for gradient in result.weight_gradients)


def test_orientation_of_the_gradients():
    arch = fastmlp.Architecture((2, 3), output="identity")
    result = fastmlp.loss_and_gradients(arch, [np.zeros((1, 2, 3))], [np.zeros((1, 3))], [[1, 10]], [[3, 6, 9]])
    np.testing.assert_allclose(result.weight_gradients[0][0], np.outer([1, 10], [-2, -4, -6]))
    np.testing.assert_allclose(result.bias_gradients[0][0], [-2, -4, -6])
    np.testing.assert_allclose(result.loss, (9 + 36 + 81) / 3)


TORCH_OPTIMIZERS = {
    "sgd": (fastmlp.SGD(0.3), "SGD", {"lr": 0.3}),
    "momentum": (fastmlp.SGD(0.1, 0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
    "nesterov": (fastmlp.SGD(0.1, 0.9, True), "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": (fastmlp.Adam(0.02), "Adam", {"lr": 0.02}),
    "adamw": (
        fastmlp.Adam(0.02, 0.8, 0.99, 1e-6, 0.1),
        "AdamW",
        {"lr": 0.02, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1},
    ),
    "rmsprop": (fastmlp.RMSprop(0.01), "RMSprop", {"lr": 0.01}),
    "rmsprop momentum": (
        fastmlp.RMSprop(0.002, 0.95, 1e-7, 0.5),
        "RMSprop",
        {"lr": 0.002, "alpha": 0.95, "eps": 1e-7, "momentum": 0.5},
    ),
    "rprop": (fastmlp.Rprop(0.01), "Rprop", {"lr": 0.01}),
}


@pytest.mark.parametrize("name", TORCH_OPTIMIZERS)
@pytest.mark.parametrize("output", ["sigmoid", "softmax", "identity"])
def test_a_hundred_steps_are_those_of_pytorch(name, output):
    torch = pytest.importorskip("torch")
    ours, theirs, settings = TORCH_OPTIMIZERS[name]
    rng = np.random.default_rng(11)
    k = 3 if output == "softmax" else 1
    arch = fastmlp.Architecture((3, 6, k), "tanh", output)
    start = fastmlp.train(arch, np.zeros((1, 3)), np.zeros(1, int), epochs=0, dtype="float64", init="torch", seed=4)
    X, y = rng.normal(size=(20, 3)), rng.integers(0, max(2, k), 20)
    runs = fastmlp.train(
        arch, X, y, init=(start.weights, start.biases), optimizer=ours, epochs=100, dtype="float64", l2=0.01
    )
    tensors = [torch.tensor(a[0].copy(), requires_grad=True) for a in (*start.weights, *start.biases)]
    optimizer = getattr(torch.optim, theirs)(tensors, **settings)
    inputs, targets = torch.tensor(X), torch.tensor(y)
    for _ in range(100):
        w1, w2, b1, b2 = tensors
        logits = torch.tanh(inputs @ w1 + b1) @ w2 + b2
        loss = {
            "sigmoid": lambda z: torch.nn.functional.binary_cross_entropy_with_logits(z[:, 0], targets.double()),
            "softmax": lambda z: torch.nn.functional.cross_entropy(z, targets),
            "identity": lambda z: torch.nn.functional.mse_loss(z[:, 0], targets.double()),
        }[output](logits)
        optimizer.zero_grad()
        (loss + 0.005 * ((w1**2).sum() + (w2**2).sum())).backward()
        optimizer.step()
    for ours_after, theirs_after in zip((*runs.weights, *runs.biases), tensors, strict=True):
        np.testing.assert_allclose(ours_after[0], theirs_after.detach().numpy(), rtol=1e-10, atol=1e-10)
