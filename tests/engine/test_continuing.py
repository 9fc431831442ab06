"""Training that goes on, changes its learning rate, or stops by samples that it does not see."""

import numpy as np
import pytest

import fastmlp
from fastmlp._engine.chunk_trainer import ChunkTrainer
from fastmlp._simd.types import Buffer
from tests.support.cases import planned, random_job


def wine_like(seed=0, n=90, n_in=5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_in))
    return X, (X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=n) > 0).astype(int)


ARCHITECTURE = fastmlp.Architecture((5, 8, 1))
OPTIMIZERS = [
    fastmlp.SGD(0.1),
    fastmlp.SGD(0.1, 0.9),
    fastmlp.SGD(0.1, 0.9, True),
    fastmlp.Adam(0.01, weight_decay=0.1),
    fastmlp.RMSprop(0.01, momentum=0.5),
    fastmlp.Rprop(),
]


def same(a, b):
    return a.weights_sha256() == b.weights_sha256() and np.array_equal(a.loss, b.loss, equal_nan=True)


@pytest.mark.parametrize("seed", range(8))
def test_a_and_b_epochs_are_a_plus_b(seed):
    rng = np.random.default_rng(seed)
    settings = random_job(rng, max_nets=20)
    settings["epochs"] = 7
    del settings["init"]
    whole = fastmlp.train(**settings)
    settings.pop("n_nets")
    first = fastmlp.train(**{**settings, "epochs": 3}, n_nets=len(whole), keep_state=True)
    second = fastmlp.train(
        **{**settings, "epochs": 4, "seed": 0}, warm_start=first, kernel=["lanes", "units"][seed % 2]
    )
    alive = whole.status != fastmlp.Status.DIVERGED
    assert same(second[alive], whole[alive])
    assert (second.epochs[alive] == 7).all()


def test_patience_and_an_adaptive_rate_are_taken_up_again():
    X, y = wine_like()
    settings = {
        "batch_size": 16,
        "optimizer": fastmlp.SGD(0.2, 0.9),
        "patience": 4,
        "schedule": "adaptive",
        "tol": 0.01,
    }
    whole = fastmlp.train(ARCHITECTURE, X, y, n_nets=9, epochs=60, keep_state=True, **settings)
    first = fastmlp.train(ARCHITECTURE, X, y, n_nets=9, epochs=25, keep_state=True, **settings)
    second = fastmlp.train(ARCHITECTURE, X, y, epochs=35, warm_start=first, keep_state=True, **settings)
    assert (whole.state.rate < np.float32(0.2)).all()
    assert np.array_equal(whole.state.rate, second.state.rate)
    assert np.array_equal(whole.state.watched, second.state.watched)
    assert same(whole, second)


@pytest.mark.parametrize("optimizer", OPTIMIZERS[:-1], ids=repr)
@pytest.mark.parametrize("kernel", ["lanes", "units"])
def test_a_schedule_is_a_new_learning_rate_each_epoch(optimizer, kernel):
    X, y = wine_like()
    factors = [1.0, 0.5, 0.25, 2.0]  # exact, so that both ways round alike
    settings = {"batch_size": 16, "kernel": kernel}
    scheduled = fastmlp.train(ARCHITECTURE, X, y, n_nets=5, epochs=4, optimizer=optimizer, schedule=factors, **settings)
    by_function = fastmlp.train(
        ARCHITECTURE, X, y, n_nets=5, epochs=4, optimizer=optimizer, schedule=factors.__getitem__, **settings
    )
    assert same(scheduled, by_function)
    runs = None
    for factor in factors:
        own = type(optimizer)(**{**optimizer.settings, "learning_rate": factor * optimizer.learning_rate})
        if isinstance(optimizer, fastmlp.SGD):
            own = fastmlp.SGD(own.learning_rate, own.momentum, optimizer.nesterov)
        how = {"n_nets": 5} if runs is None else {"warm_start": runs}
        runs = fastmlp.train(ARCHITECTURE, X, y, epochs=1, optimizer=own, keep_state=True, **how, **settings)
    if isinstance(optimizer, fastmlp.Adam):  # 1 − η λ is rounded once there, and twice here
        assert np.allclose(scheduled.parameters, runs.parameters, rtol=1e-5, atol=1e-7)
    else:
        assert same(scheduled, runs)


def test_validation_keeps_the_best_weights_as_a_loop_by_hand_does():
    X, y = wine_like()
    settings = {"batch_size": 16, "optimizer": fastmlp.Adam(0.03), "dtype": "float64"}
    held_out = (X[60:], y[60:])
    runs = fastmlp.train(
        ARCHITECTURE,
        X[:60],
        y[:60],
        n_nets=6,
        epochs=80,
        validation=held_out,
        patience=7,
        tol=0.01,
        record_every=1,
        **settings,
    )
    assert set(runs.counts())
    assert runs.counts()["stalled"] == 6
    state = fastmlp.train(ARCHITECTURE, X[:60], y[:60], n_nets=6, epochs=0, keep_state=True, **settings)
    scores, parameters = [], []
    for _ in range(80):
        state = fastmlp.train(ARCHITECTURE, X[:60], y[:60], epochs=1, warm_start=state, keep_state=True, **settings)
        o = state.predict(X[60:])[:, :, 0]
        scores.append(np.mean(np.where(y[60:], np.log(o), np.log(1 - o)), axis=1))
        parameters.append(state.parameters)
    for net in range(6):
        best, waited, kept, epoch = -np.inf, 0, None, 0
        for epoch in range(80):
            score = scores[epoch][net]
            waited = 0 if score >= best + 0.01 else waited + 1
            if score > best:
                best, kept = score, epoch
            if waited == 7:
                break
        assert runs.epochs[net] == epoch + 1
        assert runs.best_epoch[net] == kept + 1
        assert runs.validation_score[net] == pytest.approx(best, rel=1e-12)
        assert np.array_equal(runs.parameters[net], parameters[kept][net])
        assert runs.validation_history[net, : epoch + 1] == pytest.approx(
            [s[net] for s in scores[: epoch + 1]], rel=1e-12
        )
        assert np.isnan(runs.validation_history[net, epoch + 1 :]).all()
        o = runs[net].predict(X[:60])[:, 0]
        assert runs.loss[net] == pytest.approx(-np.mean(np.where(y[:60], np.log(o), np.log(1 - o))), rel=1e-12)


@pytest.mark.parametrize("score", ["loss", "accuracy"])
def test_validation_gives_the_same_bits_however_it_runs(score):
    X, y = wine_like()
    settings = {
        "optimizer": fastmlp.Adam(0.02),
        "epochs": 60,
        "batch_size": 16,
        "patience": 5,
        "validation_score": score,
        "validation": (X[60:], y[60:], np.linspace(0.5, 2, 30)),
    }
    runs = fastmlp.train(ARCHITECTURE, X[:60], y[:60], n_nets=70, **settings)
    assert len(set(runs.epochs)) > 3
    for how in ({"kernel": "units"}, {"kernel": "lanes", "threads": 1}, {"kernel": "units", "threads": 2}):
        again = fastmlp.train(ARCHITECTURE, X[:60], y[:60], n_nets=70, **settings, **how)
        assert same(runs, again)
        assert np.array_equal(runs.validation_score, again.validation_score)
    part = fastmlp.train(ARCHITECTURE, X[:60], y[:60], net_ids=[3, 60], **settings)
    assert same(part, runs[[3, 60]])


def test_r2_is_scikit_learns():
    rng = np.random.default_rng(0)
    X, W = rng.normal(size=(80, 4)), rng.normal(size=(4, 3))
    Y, weights = X @ W, rng.uniform(0.5, 2, 30)
    runs = fastmlp.train(
        fastmlp.Architecture((4, 3), output="identity"),
        X[:50],
        Y[:50],
        n_nets=3,
        epochs=20,
        dtype="float64",
        validation=(X[50:], Y[50:], weights),
        validation_score="r2",
        patience=5,
        optimizer=fastmlp.SGD(0.3),
    )
    for net in range(3):
        error = weights @ (runs[net].predict(X[50:]) - Y[50:]) ** 2
        spread = weights @ (Y[50:] - weights @ Y[50:] / weights.sum()) ** 2
        assert runs.validation_score[net] == pytest.approx(np.mean(1 - error / spread), rel=1e-12)


def test_dropout_leaves_out_the_share_that_was_asked_for():
    """With a constant input, weights that cannot change and an identity layer, the loss tells how many were left out."""
    arch = fastmlp.Architecture((1, 400, 1), "identity", "identity", bias=False)
    init = ([np.full((2, 1, 400), 1.0), np.full((2, 400, 1), 1 / 400)], [])
    X, y = np.ones((300, 1)), np.zeros(300)
    runs = fastmlp.train(
        arch,
        X,
        y,
        init=init,
        epochs=1,
        optimizer=fastmlp.SGD(1e-30),
        dropout=[0.25, 0.0],
        batch_size=300,
        patience=1,
        dtype="float64",
        keep_state=True,
    )
    # the output is 4/3 of the share that stayed, with variance p / (1 - p) / 400, around 1
    mean_square = runs.state.watched[0]
    assert mean_square[1] == pytest.approx(1, rel=1e-12)
    assert mean_square[0] == pytest.approx(1 + 0.25 / 0.75 / 400, abs=0.02)
    assert mean_square[0] != mean_square[1]
    assert runs.loss == pytest.approx([1, 1], rel=1e-12)  # measured on the whole nets


def test_each_net_draws_samples_of_its_own():
    X, y = wine_like()
    settings = {"epochs": 20, "batch_size": 16, "bootstrap": True, "seed": 5}
    runs = fastmlp.train(ARCHITECTURE, X, y, n_nets=40, **settings)
    assert same(fastmlp.train(ARCHITECTURE, X, y, net_ids=[7, 30], kernel="units", **settings), runs[[7, 30]])
    linear = fastmlp.Architecture((1, 1), output="identity", bias=False)
    init = ([np.zeros((2000, 1, 1))], [])
    # a step from 0 on (w - t)^2 comes to the mean of the targets that were drawn
    mean = fastmlp.train(
        linear,
        np.ones((50, 1)),
        np.arange(50.0),
        init=init,
        epochs=1,
        optimizer=fastmlp.SGD(0.5),
        bootstrap=True,
        dtype="float64",
    ).parameters[:, 0]
    assert len(np.unique(mean)) > 300
    assert mean.mean() == pytest.approx(24.5, abs=4 * 14.43 / np.sqrt(50 * 2000))
    assert mean.std() == pytest.approx(14.43 / np.sqrt(50), rel=0.1)


def test_each_net_may_have_an_order_of_its_own():
    X, y = wine_like()
    settings = {"epochs": 40, "batch_size": 16, "shuffle": "by_net", "optimizer": fastmlp.Adam(0.01)}
    runs = fastmlp.train(ARCHITECTURE, X, y, n_nets=40, target_loss=0.5, **settings)
    assert 0 < runs.counts()["reached_target"] < 40  # gaps are closed meanwhile
    for net in (0, 23, 39):
        alone = fastmlp.train(ARCHITECTURE, X, y, net_ids=[net], target_loss=0.5, **settings)
        assert same(alone, runs[[net]])
    init = ([np.repeat(w[:1], 3, axis=0) for w in runs.weights], [np.repeat(b[:1], 3, axis=0) for b in runs.biases])
    for shuffle, differ in ((True, 1), ("by_net", 3), (False, 1)):
        trained = fastmlp.train(ARCHITECTURE, X, y, init=init, epochs=3, batch_size=16, shuffle=shuffle)
        assert len(np.unique(trained.parameters, axis=0)) == differ
    with pytest.raises(ValueError, match="kernel='units'"):
        fastmlp.train(ARCHITECTURE, X, y, kernel="lanes", **settings)


STOPPING = {"target_loss": 0.45, "batch_size": 16, "epochs": 60, "keep_state": True}


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, fastmlp.Adam(0.03)], ids=repr)
def test_the_state_of_a_net_is_its_own(optimizer):
    """Nets stop at different times; what is kept of them depends on neither kernel nor neighbours, nor does the rest."""
    X, y = wine_like()
    settings = {"optimizer": optimizer, "patience": 9, "schedule": None, **STOPPING}
    lanes = fastmlp.train(ARCHITECTURE, X, y, n_nets=40, kernel="lanes", **settings)
    units = fastmlp.train(ARCHITECTURE, X, y, n_nets=40, kernel="units", **settings)
    some = fastmlp.train(ARCHITECTURE, X, y, net_ids=[3, 17], **settings)
    assert len(set(lanes.epochs)) > 1
    for part, whole in ((units, lanes), (some, lanes[[3, 17]])):
        assert same(part, whole)
        for one, other in zip(part.state[1:], whole.state[1:], strict=True):
            assert np.array_equal(one, other)
    more = {"optimizer": optimizer, "epochs": 5, "batch_size": 16}
    went_on = fastmlp.train(ARCHITECTURE, X, y, warm_start=lanes, kernel="lanes", **more)
    assert same(fastmlp.train(ARCHITECTURE, X, y, warm_start=units, kernel="units", **more), went_on)
    assert same(fastmlp.train(ARCHITECTURE, X, y, warm_start=lanes[[3, 17]], **more), went_on[[3, 17]])
    assert np.array_equal(went_on.epochs, lanes.epochs + 5)


def test_what_validation_decides_and_what_not():
    X, y = wine_like()
    settings = {"validation": (X[60:], y[60:]), "batch_size": 16, "optimizer": fastmlp.Adam(0.03), "n_nets": 6}
    last = fastmlp.train(ARCHITECTURE, X[:60], y[:60], epochs=90, patience=4, restore_best=False, **settings)
    assert last.counts()["stalled"] == 6
    for net in last:
        o = net.predict(X[:60])[:, 0].astype(np.float64)
        assert net.loss == pytest.approx(-np.mean(np.where(y[:60], np.log(o), np.log(1 - o))), rel=1e-4)
    at_target = fastmlp.train(ARCHITECTURE, X[:60], y[:60], epochs=200, target_loss=0.3, **settings)
    assert at_target.counts()["reached_target"] == 6
    assert (at_target.loss <= 0.3).all()
    none = fastmlp.train(ARCHITECTURE, X[:60], y[:60], epochs=0, record_every=1, **settings)
    assert np.isfinite(none.loss).all()


def test_an_array_of_dropout_gives_each_net_what_it_would_get_alone():
    X, y = wine_like()
    settings = {"epochs": 200, "target_loss": 0.5, "optimizer": fastmlp.Adam(0.03)}
    both = fastmlp.train(ARCHITECTURE, X, y, net_ids=[0, 1], dropout=[0.0, 0.3], **settings)
    assert same(fastmlp.train(ARCHITECTURE, X, y, net_ids=[0], dropout=[0.0], **settings), both[[0]])
    assert same(fastmlp.train(ARCHITECTURE, X, y, net_ids=[1], dropout=0.3, **settings), both[[1]])


@pytest.mark.parametrize("kernel", ["lanes", "units"])
def test_what_vectors_are_loaded_from_is_aligned(kernel):
    X, y = wine_like()
    for batch_size in (16, 32, 90):
        job, _ = planned(
            architecture=ARCHITECTURE,
            X=X,
            y=y,
            n_nets=3,
            seed=0,
            optimizer="adam",
            epochs=1,
            init="torch",
            l2=0.0,
            batch_size=batch_size,
            kernel=kernel,
            threads=1,
            dropout=0.2,
        )
        tiles = job.new_tiles(0, 3)
        for scratch in (ChunkTrainer(job).new_team().scratches[0], tiles.kernel_view):
            own = getattr(scratch, "own", ())
            for name, buffer in [*scratch._asdict().items(), *(("own", buffer) for buffer in own)]:
                if isinstance(buffer, Buffer) and buffer.array.size and name not in ("team", "result_index"):
                    assert buffer.address % 64 == 0, name


REFUSED = [
    ({"dropout": 1.0}, "dropout"),
    ({"dropout": -0.1}, "dropout"),
    ({"dropout": 0.5, "architecture": fastmlp.Architecture((5, 1))}, "has none"),
    ({"bootstrap": 1}, "True or False"),
    ({"shuffle": "each"}, "'by_net'"),
    ({"schedule": [1.0, 2.0]}, "one factor for each of the 5 epochs"),
    ({"schedule": [1.0, 1.0, -1.0, 1.0, 1.0]}, "for epoch 2"),
    ({"schedule": lambda e: "fast"}, "needs a number"),
    ({"bootstrap": True, "sample_weight": np.r_[1.0, np.zeros(89)], "n_nets": 50}, "leave those out of X"),
    ({"schedule": "cosine"}, "'adaptive'"),
    ({"schedule": "adaptive"}, "pass patience too"),
    ({"schedule": [1.0] * 5, "optimizer": "rprop"}, "leave schedule out"),
    ({"validation": 3}, "pair"),
    ({"validation": ([[0.0] * 4], [0])}, "5 columns"),
    ({"validation": ([[0.0] * 5], [0]), "validation_score": "auc"}, "'accuracy'"),
    ({"validation": ([[0.0] * 5], [0]), "validation_score": "r2"}, "mse"),
    ({"warm_start": 3}, "Runs"),
    ({"keep_state": 3}, "True or False"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_bad_settings_are_refused(settings, message):
    X, y = wine_like()
    with pytest.raises((ValueError, TypeError), match=message):
        fastmlp.train(**{"architecture": ARCHITECTURE, "X": X, "y": y, "epochs": 5, "n_nets": 2, **settings})


def test_a_state_of_another_optimizer_is_refused():
    X, y = wine_like()
    runs = fastmlp.train(ARCHITECTURE, X, y, n_nets=2, epochs=1, keep_state=True)
    with pytest.raises(ValueError, match="the state of Adam"):
        fastmlp.train(ARCHITECTURE, X, y, epochs=1, warm_start=runs, optimizer="sgd")
    with pytest.raises(ValueError, match="leave n_nets and net_ids out"):
        fastmlp.train(ARCHITECTURE, X, y, epochs=1, warm_start=runs, n_nets=3)
    with pytest.raises(ValueError, match="leave it out"):
        fastmlp.train(ARCHITECTURE, X, y, epochs=1, warm_start=runs, seed=3)
    with pytest.raises(ValueError, match="pass theirs"):
        fastmlp.train(fastmlp.Architecture((5, 9, 1)), X, y, epochs=1, warm_start=runs)
    with pytest.raises(ValueError, match="pass dtype='float32'"):
        fastmlp.train(ARCHITECTURE, X, y, epochs=1, warm_start=runs, dtype="float64")
    with pytest.raises(ValueError, match="leave init out"):
        fastmlp.train(ARCHITECTURE, X, y, epochs=1, warm_start=runs, init="torch")


def test_a_schedule_that_fails_late_ends_training():
    X, y = wine_like()
    with pytest.raises(ValueError, match="for epoch 40"):
        fastmlp.train(ARCHITECTURE, X, y, n_nets=2, epochs=100, schedule=lambda epoch: 1.0 if epoch < 40 else np.nan)
