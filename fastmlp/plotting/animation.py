"""Animate the decision boundary during training: callers pass the function that trains nets again, frame by frame."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp._engine.trained_nets import Train, TrainedNets
from fastmlp.plotting.planes import GRID, checked_plane, outputs_over, plane
from fastmlp.plotting.style import draw_samples
from fastmlp.settings import NetSelection

SHADES = 40  # shades of an animation: a .gif has 256 colours a frame, and the markers need some
# matplotlib's page loads the icons of its buttons from the web; these replace them
ICONS = (
    "<style>.fa { font-style: normal } .fa-minus::before { content: '−' } .fa-plus::before { content: '+' } "
    ".fa-fast-backward::before { content: '|◀◀' } .fa-step-backward::before { content: '|◀' } "
    ".fa-reverse::before, .fa-play.fa-flip-horizontal::before { content: '▶' } .fa-pause::before { content: '‖' } "
    ".fa-play::before { content: '▶' } .fa-step-forward::before { content: '▶|' } "
    ".fa-fast-forward::before { content: '▶▶|' } .fa-flip-horizontal { display: inline-block; transform: scaleX(-1) }"
    "</style>"
)


def write_animation(
    nets: TrainedNets, train: Train, X: Any, y: Any, path: Path, which: int | str, frames: int, frames_a_second: int
) -> Path:
    """Write the animation that `RunsPlots.animate` describes."""
    from matplotlib import colormaps
    from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter
    from matplotlib.figure import Figure

    writer = choose("the ending of path", path.suffix, {".gif": PillowWriter, ".html": None, ".mp4": FFMpegWriter})
    if path.suffix == ".mp4" and not FFMpegWriter.isAvailable():
        raise ValueError(f"{path}: an .mp4 needs the program ffmpeg: install it, or write a .gif or .html")
    count = checks.whole_number("frames", frames, 2)
    samples, classes = checked_plane(nets, X, y)
    first, second, points = plane(samples, GRID // 2)
    steps = training_steps(nets, train, X, y, count, None if isinstance(which, str) else which)
    figure = Figure(figsize=(5, 4.4), layout="constrained")
    ax = figure.subplots()
    shape, fields = (len(second), len(first)), []
    for epoch, runs in steps:
        field = outputs_over(runs, points, which if isinstance(which, str) else 0)[0]
        fields.append((epoch, field.reshape(shape), float(np.nanmean(runs.loss))))
    top = 1.0 if which != "spread" else max(float(field.max()) for _, field, _ in fields)
    picture = ax.pcolormesh(
        first,
        second,
        fields[0][1],
        vmin=0,
        vmax=top,
        shading="nearest",
        cmap=colormaps["viridis" if which == "spread" else "cividis"].resampled(SHADES),
    )
    figure.colorbar(picture, ax=ax, label="standard deviation" if which == "spread" else "output")
    draw_samples(ax, samples, classes)
    ax.set(xlabel="first input", ylabel="second input")
    lines: list[Any] = []

    def draw(number: int) -> list[Any]:
        epoch, field, loss = fields[number]
        picture.set_array(field)
        while lines:
            lines.pop().remove()
        if which != "spread" and field.min() < 0.5 < field.max():
            lines.append(ax.contour(first, second, field, [0.5], colors="white", linewidths=1.5))
        ax.set_title(f"after {epoch:,} epochs, mean loss {loss:.4f}", fontsize=10)
        return [picture]

    movie = FuncAnimation(figure, draw, frames=len(fields), interval=1000 / frames_a_second)
    if writer is None:
        page = movie.to_jshtml(fps=frames_a_second, embed_frames=True, default_mode="loop")
        path.write_text(re.sub(r"<link[^>]*>", ICONS, page), encoding="utf-8")
    else:
        movie.save(path, writer=writer(fps=frames_a_second), dpi=100)
    return path


def training_steps(
    runs: TrainedNets, train: Train, X: Any, y: Any, frames: int, which: int | None
) -> list[tuple[int, TrainedNets]]:
    """Yield the nets after more and more epochs; each step continues the one before."""
    runs = runs if which is None else runs[[which]]
    call = runs.call
    if call is None:
        raise ValueError(
            "animate trains the nets again, but these have no record of their settings: it needs nets of train without "
            "warm_start, all on the same samples"
        )
    asked = [
        name
        for name in ("schedule", "validation", "target_loss", "target_accuracy", "patience")
        if getattr(call, name) is not None
    ]
    if asked:
        raise ValueError(f"animate trains in steps, which is not possible with {', '.join(asked)}")
    epochs = np.unique(np.round(call.epochs * np.linspace(0, 1, frames) ** 2).astype(int))
    first = NetSelection(net_ids=runs.net_ids, seed=runs.seed)
    now = train(call.changed(epochs=0, keep_state=True), X, y, first, None)
    steps = [(0, now)]
    going_on = call.changed(init="he_uniform", keep_state=True)
    for before, after in pairwise(epochs):
        now = train(going_on.changed(epochs=int(after - before)), X, y, NetSelection(warm_start=now), None)
        steps.append((int(after), now))
    return steps
