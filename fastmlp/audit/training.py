"""Train many nets with mistakes of the audit's catalogue in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp._engine.chunk_trainer import ChunkTrainer
from fastmlp._engine.job import Job
from fastmlp._engine.memory_limit import refuse_if_too_large
from fastmlp._engine.processors import thread_count
from fastmlp._engine.team import Team
from fastmlp._engine.tile_arrays import TileArrays
from fastmlp._engine.trained_nets import Status
from fastmlp._kernels import mistakes as mistaken
from fastmlp._kernels import structs
from fastmlp._kernels.formulas.activations import Activation
from fastmlp._kernels.formulas.losses import LOSSES, Loss
from fastmlp._kernels.mistake_codes import BiasSum, Derivative, Down, Forward, Output, Part, Product, Scale
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros
from fastmlp.architecture import Architecture
from fastmlp.audit.backpropagation import Problem
from fastmlp.audit.mistakes import AUDITED, FORWARD, MISTAKES, Placed
from fastmlp.diagnosis.problem import distances, every_output_solved, solved_limit
from fastmlp.runs import Runs
from fastmlp.settings import NetSelection, TrainSettings, as_optimizer
from fastmlp.training.interrupted import TrainingInterrupted
from fastmlp.training.prepare import prepare_job
from fastmlp.training.runner import Runner

QUAD = 4
L2_ADDED = 0.01  # the L2 factor of "l2_in_gradient"
NETS_A_BLOCK = 4096
NEAREST_TO_CERTAIN = 1e-15
LEFT_TO_AUDITS = ("one_minibatch",)


@dataclass(frozen=True, eq=False)
class MistakenRuns:
    """The n nets that were trained with mistakes on S samples.

    Examples
    --------
    >>> import fastmlp
    >>> from fastmlp.audit import train_with_mistakes
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> arch, rate = fastmlp.Architecture((2, 4, 1)), fastmlp.SGD(0.5)
    >>> found = train_with_mistakes(arch, X, y, mistakes="sign_flipped", n_nets=100, optimizer=rate, epochs=50)
    >>> len(found.runs), found.n_solved
    (100, 0)
    """

    mistakes: tuple[Placed, ...]
    """The mistakes and their layers."""
    runs: Runs
    """The nets' parameters and how their training ended; loss and accuracy are those of `outputs`."""
    outputs: np.ndarray
    """Outputs of the nets' own forward pass, mistakes included, (n, S, n_outputs) float64; NaN for nets that
    diverged."""
    margin: np.ndarray
    """Distance of the worst output from 1/2, (n,), negative on the wrong side; for softmax the distance from the
    target's class to the next one. NaN if targets are not classes."""
    solved: np.ndarray
    """Which nets are solved, (n,) bool: a margin above 0; if targets are not classes, a loss of at most a hundredth of
    their variance."""

    @property
    def n_solved(self) -> int:
        """The number of solved nets."""
        return int(self.solved.sum())


class _MistakenTrainer(ChunkTrainer):
    """Trains with the kernel that has mistakes built in."""

    def __init__(self, job: Job, switches: mistaken.Switches) -> None:
        super().__init__(job)
        self._switches = switches

    def new_team(self) -> Team:
        job, width, dtype = self.job, self.job.vectors.width, self.job.vectors.F.dtype
        first = np.concatenate([[0], np.cumsum(job.architecture.sizes)])
        samples = min(job.flags.batch_size, job.data.n_samples)
        rows = aligned_zeros((4, samples * int(first[-1]) + QUAD, width), dtype)
        a, z, slope, delta = (Buffer(array) for array in rows)
        memory = mistaken.Memory(
            a,
            z,
            slope,
            delta,
            Buffer(first[:-1]),
            Buffer(np.zeros(samples, np.int64)),
            Buffer(aligned_zeros((3, width), dtype)),
            Buffer(aligned_zeros((2, width), dtype)),
            int(first[-1]),
            0,
        )
        return Team(memory)  # type: ignore[arg-type]

    def lent_team(self) -> Team:
        return self.new_team()

    def give_back(self, team: Team) -> None:
        """Nothing to do: its memory is of another kind than that of other trainers."""

    def train(self, tiles: TileArrays, epochs: structs.Epochs, team: Team) -> int:
        job, F = self.job, self.job.vectors.F
        quad = VectorSpec(F.dtype, QUAD * F.count)
        return mistaken.train_mistaken_tiles(
            quad,
            F,
            job.net,
            job.data,
            job.flags,
            tiles.kernel_view,
            job.results,
            epochs,
            team.scratches[0],
            Buffer(job.halt),
            self._switches,
        )


def train_with_mistakes(  # noqa: PLR0913
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    mistakes: Any,
    n_nets: int | None = None,
    seed: int = 0,
    optimizer: Any = "adam",
    epochs: int = 1000,
    loss: str | None = None,
    init: Any = "he_uniform",
    batch_size: int | None = None,
    shuffle: bool = True,
    l2: float = 0.0,
    net_ids: Any = None,
    dtype: Any = "float64",
    threads: int | None = None,
    progress: bool = False,
) -> MistakenRuns:
    """Train many nets with mistakes built in, from the same initial weights as `fastmlp.train`.

    Parameters
    ----------
    architecture : Architecture
        The nets that are meant.
    X, y, n_nets, seed, optimizer, epochs, loss, init, batch_size, shuffle, l2, net_ids, threads, progress
        As for `fastmlp.train`. The learning rate refers to the right gradient, that of the mean loss.
    mistakes : str, tuple or list of these
        Names from ``fastmlp.audit.MISTAKES``. A mistake that belongs to layers is made in all of them; a pair
        ``(name, layers)`` names the layers, counted from 0 for the weights of the inputs. A mistake with a parameter
        takes the most common value: the last sample where one sample is left, and 0.01 for an L2 term that does not
        belong there.
    dtype : {"float64", "float32"}, default "float64"
        What the nets compute in. Hand-written NumPy programs compute in float64.

    Returns
    -------
    MistakenRuns

    Raises
    ------
    ValueError, TypeError
        For a mistake that these nets cannot have, and for anything that `fastmlp.train` refuses.
    MemoryError
        If the results do not fit into free memory.
    TrainingInterrupted
        As by `fastmlp.train`.

    Examples
    --------
    >>> import fastmlp
    >>> from fastmlp.audit import train_with_mistakes
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> arch = fastmlp.Architecture((2, 4, 1))
    >>> wrong = train_with_mistakes(
    ...     arch, X, y, mistakes="bias_gradient_zero", n_nets=100, optimizer=fastmlp.SGD(0.5)
    ... )
    >>> wrong.outputs.shape, wrong.n_solved < 50
    ((100, 4, 1), True)
    """
    made = placed(mistakes, architecture, X, y, loss, l2)
    if np.ndim(architecture.leaky_slope):
        raise ValueError("leaky_slope has one number for each net: with mistakes, give one number for all")
    if any(mistake.name == "l2_left_out" for mistake in made):
        l2 = 0.0
    elif any(mistake.name == "l2_in_gradient" for mistake in made):
        l2 += L2_ADDED
    settings = TrainSettings(
        architecture,
        as_optimizer(optimizer),
        epochs=epochs,
        loss=loss,
        init=init,
        batch_size=batch_size,
        shuffle=shuffle,
        l2=l2,
        dtype=dtype,
    )
    job, runs = prepare_job(settings, X, y, NetSelection(n_nets, net_ids, seed), kernel="lanes", threads=threads)
    n_samples, n_out = job.data.n_samples, architecture.sizes[-1]
    refuse_if_too_large(
        len(runs) * n_samples * n_out * 8,
        f"the outputs of {len(runs):,} nets for {n_samples:,} samples",
        "train fewer nets at once, in shards of net_ids",
    )
    switched = switches(made, architecture, job.plan.net)
    runner = Runner(job, runs, thread_count(threads), new_trainer=lambda part: _MistakenTrainer(part, switched))
    runner.compile()
    received = runner.run(progress)
    targets = checks.targets(y, architecture, Loss(job.plan.net.loss), n_samples, np.dtype(np.float64))
    found = _looked_at(made, runs, checks.inputs(X, architecture, np.dtype(np.float64)), targets, loss)
    if received is not None:
        raise TrainingInterrupted(runs, received, None)
    return found


def placed(mistakes: Any, architecture: Architecture, X: Any, y: Any, loss: str | None, l2: float) -> list[Placed]:
    """The named mistakes, in all layers unless layers are given; raises ValueError if the nets cannot have them."""
    code = Loss(choose("loss", loss or architecture.default_loss, LOSSES[architecture.activations[-1]]))
    if code not in AUDITED:
        raise ValueError(f"loss={code.name.lower()!r} has no catalogue of mistakes")
    samples = checks.inputs(X, architecture, np.dtype(np.float64))
    targets = checks.targets(y, architecture, code, len(samples), np.dtype(np.float64))
    bias = [np.ones(n) if architecture.bias else np.zeros(n) for _, n in architecture.shapes]
    problem = Problem(
        architecture.activations,
        float(np.max(architecture.leaky_slope)),
        [np.zeros(shape) for shape in architecture.shapes],
        bias,
        samples,
        targets,
        code,
        l2,
    )
    given = [mistakes] if isinstance(mistakes, (str, Placed)) or _is_pair(mistakes) else mistakes
    if not isinstance(given, Iterable):
        raise TypeError(f"mistakes={mistakes!r}: needs a name, a pair (name, layers), or a list of them")
    made = [_placed(mistake, problem, architecture) for mistake in given]
    taken: dict[tuple[str, int], str] = {}
    for mistake in made:
        for slot in MISTAKES[mistake.name].slots:
            for layer in mistake.layers or (-1,):
                other = taken.setdefault((slot, layer), mistake.name)
                if other != mistake.name:
                    raise ValueError(f"{other!r} and {mistake.name!r} change the same code: choose one of them")
    return made


def _is_pair(mistakes: Any) -> bool:
    return isinstance(mistakes, tuple) and len(mistakes) == 2 and not isinstance(mistakes[1], (str, tuple, Placed))


def _placed(given: Any, problem: Problem, architecture: Architecture) -> Placed:
    name, layers = (
        (given.name, given.layers or None)
        if isinstance(given, Placed)
        else ((given, None) if isinstance(given, str) else tuple(given))
    )
    mistake = choose("mistakes", name, MISTAKES)
    if name in LEFT_TO_AUDITS:
        raise ValueError(f"{name!r}: pass batch_size, which trains on minibatches")
    possible = problem.places(name)
    if not architecture.bias and ("bias" in mistake.slots or "bias_part" in mistake.slots):
        possible = ()
    if not possible:
        raise ValueError(f"{name!r} cannot be made in {architecture}: {mistake.meaning}")
    if not mistake.has_layers:
        if layers is not None:
            raise ValueError(f"{name!r} does not belong to a layer: leave the layers out")
        return Placed(name)
    chosen = possible if layers is None else (layers,) if isinstance(layers, (int, np.integer)) else tuple(layers)
    for layer in chosen:
        if layer not in possible:
            raise ValueError(f"{name!r} cannot be made in layer {layer!r} of {architecture}: needs some of {possible}")
    return Placed(name, tuple(sorted(int(layer) for layer in chosen)))


def switches(made: list[Placed], architecture: Architecture, net: structs.Net) -> mistaken.Switches:
    """Lay out the mistakes for the kernel."""
    L = architecture.n_layers
    kinds: tuple[type[IntEnum], ...] = (Forward, Derivative, Product, BiasSum, Down)
    codes = {kind: np.zeros(L, np.int64) for kind in kinds}
    applied = np.array([int(code) for code in architecture.activations])
    down_weights = np.arange(L)
    factors, powers, lost = np.ones((2, L)), np.zeros((2, L), np.int64), np.zeros((2, L), np.int64)
    output = Output.RIGHT
    for mistake in made:
        name, code = mistake.name, MISTAKES[mistake.name].code
        layers = list(mistake.layers)
        if isinstance(code, Forward):
            codes[Forward][layers] = code
            if code is Forward.NO_ACTIVATION:
                applied[layers] = Activation.IDENTITY
            elif code is Forward.OTHER_ACTIVATION:
                applied[layers] = architecture.activations[0 if name == "hidden_activation_on_output" else -1]
        elif isinstance(code, Output):
            output = code
        elif isinstance(code, Scale):
            _scale(code, architecture, net, factors, powers, lost)
        elif type(code) in codes:
            codes[type(code)][layers if MISTAKES[name].has_layers else slice(1, None)] = code
            if code is Down.OTHER_WEIGHTS:
                for layer in layers:
                    others = [
                        k for k in range(L) if k != layer and architecture.shapes[k] == architecture.shapes[layer]
                    ]
                    down_weights[layer] = others[0]
        elif isinstance(code, Part):
            which = 0 if "weight_part" in MISTAKES[name].slots else 1
            if code is Part.ONE_SAMPLE:
                lost[which, layers] = mistaken.ALL_BUT_LAST
            else:
                powers[which, layers] += 1 if code is Part.SUM else -1
    return mistaken.Switches(
        forward=Buffer(codes[Forward]),
        applied=Buffer(applied),
        derivative=Buffer(codes[Derivative]),
        product=Buffer(codes[Product]),
        bias=Buffer(codes[BiasSum]),
        down=Buffer(codes[Down]),
        down_weights=Buffer(down_weights),
        weight_factor=Buffer(factors[0]),
        weight_power=Buffer(powers[0]),
        bias_factor=Buffer(factors[1]),
        bias_power=Buffer(powers[1]),
        weights_lost=Buffer(lost[0]),
        biases_lost=Buffer(lost[1]),
        output=int(output),
    )


def _scale(
    code: Scale, architecture: Architecture, net: structs.Net, factors: np.ndarray, powers: np.ndarray, lost: np.ndarray
) -> None:
    if code in (Scale.SUM, Scale.BY_FEATURES, Scale.ONE_SAMPLE):
        powers += 1
    elif code is Scale.MEAN_TWICE:
        powers -= 1
    if code is Scale.BY_FEATURES:
        factors /= architecture.sizes[0]
    elif code is Scale.SUM_OVER_OUTPUTS and net.loss != Loss.CROSS_ENTROPY:
        factors *= architecture.sizes[-1]
    elif code is Scale.HALF:
        factors /= 2.0
    elif code is Scale.TURNED:
        factors *= -1.0
    elif code is Scale.ONE_SAMPLE:
        lost[...] = mistaken.ALL_BUT_LAST


def _looked_at(
    made: list[Placed], runs: Runs, samples: np.ndarray, targets: np.ndarray, loss: str | None
) -> MistakenRuns:
    """Outputs of the nets' own forward pass; fills in their losses and accuracies."""
    architecture, n = runs.architecture, len(runs)
    code = LOSSES[architecture.activations[-1]][loss or architecture.default_loss]
    outputs = np.empty((n, *targets.shape))
    forward = [mistake for mistake in made if mistake.name in FORWARD]
    weights, biases = runs.weights, runs.biases
    for first in range(0, n, NETS_A_BLOCK):
        some = slice(first, first + NETS_A_BLOCK)
        w = [layer[some].astype(np.float64) for layer in weights]
        b = [layer[some].astype(np.float64) for layer in biases] or [np.zeros(layer.shape[-1]) for layer in weights]
        with np.errstate(all="ignore"):
            problem = Problem(
                architecture.activations,
                float(architecture.leaky_slope),
                w,
                b,
                samples,
                targets,
                code,
                forward_mistakes_made=tuple(forward),
            )
        outputs[some] = problem.a[-1]
    fine = runs.status != Status.DIVERGED
    outputs[~fine] = np.nan
    classes, right, margin = checks.counts_accuracy(targets), np.full(n, np.nan), np.full(n, np.nan)
    with np.errstate(all="ignore"):
        losses = losses_of(outputs, targets, code)
        limit = solved_limit(code, targets, classes)
        if limit is not None and code == Loss.MSE:
            solved = every_output_solved(((outputs - targets) ** 2).mean(axis=1), code, targets)
        elif limit is not None:
            solved = losses <= limit
        else:
            of_samples = distances(outputs, targets, architecture.activations[-1])
            right, margin = (of_samples > 0).mean(axis=1), of_samples.min(axis=1)
            solved = margin > 0
    runs.loss[:] = np.where(fine, losses, np.nan)
    runs.accuracy[:] = np.where(fine, right, np.nan)
    return MistakenRuns(tuple(made), runs, outputs, margin, solved & fine)


def losses_of(outputs: np.ndarray, targets: np.ndarray, code: Loss) -> np.ndarray:
    """The mean loss of each net's outputs (n, S, k); probabilities are clipped to 10⁻¹⁵ from 0 and 1."""
    if code == Loss.MSE:
        return np.asarray(((outputs - targets) ** 2).mean(axis=(1, 2)))
    o = np.clip(outputs, NEAREST_TO_CERTAIN, 1.0 - NEAREST_TO_CERTAIN)
    if code == Loss.CROSS_ENTROPY:
        return np.asarray(-(targets * np.log(o)).sum(axis=2).mean(axis=1))
    return np.asarray(-(targets * np.log(o) + (1.0 - targets) * np.log1p(-o)).mean(axis=(1, 2)))
