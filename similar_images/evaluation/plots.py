"""The plots of an evaluation as SVG, in the text colour of the page, each with a description for screen readers."""

import io
import re
from collections.abc import Callable
from typing import Any, TypeVar

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from similar_images.evaluation.evaluation import Evaluation
from similar_images.index.backend import MEASURED_K
from similar_images.index.quality import Interval, confidence_interval

T = TypeVar("T")

NAMED_CLASSES = 30  # more are drawn without their names
COLOURS = ("#3d85c6", "#e0782f", "#2a9d7f", "#c75a9a", "#8a6fd1", "#b08d1e", "#7a8794")  # seen on white and black
MARKERS = "osD^vP*"
INK = "#010203"  # placeholder for the text colour of the page
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "similar images",
    "text.parse_math": False,  # a $ in a name is a $
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "legend.frameon": False,
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # it holds addresses
BINS = 50


def costs(titles: list[str], evaluations: list[Evaluation]) -> Markup | None:
    """Draw recall against time and size, with a line over nprobe for inverted lists; None for one configuration."""
    if len(evaluations) < 2:
        return None
    figure = new_figure(3.8)
    axes = figure.subplots(1, 2, sharey=True)
    said = []
    for number, (title, one) in enumerate(zip(titles, evaluations, strict=True)):
        interval = one.recall_interval(MEASURED_K)
        ms, size = float(np.median(one.milliseconds)), one.bytes / 1e6
        said.append(f"{title}: {interval.mean:.3f} at {ms:.2f} ms and {size:.2f} MB")
        colour = COLOURS[number % len(COLOURS)]
        if one.curve:
            points = [(point.p50_ms, point.recall) for point in one.curve]
            axes[0].plot(*zip(*points, strict=True), ".-", color=colour, alpha=0.5, linewidth=1)
        for axis, cost in zip(axes, (ms, size), strict=True):
            _draw_interval(axis, number, cost, interval, title if axis is axes[0] else None)
    for axis, name in zip(axes, ("ms a query, median", "MB"), strict=True):
        _set_log_scale(axis, name)
    axes[0].set_ylabel(f"recall@{MEASURED_K}")
    axes[0].set_ylim(top=1)
    figure.legend(loc="outside lower center", ncols=4)
    return as_svg(figure, f"recall@{MEASURED_K} against time and bytes. {'; '.join(said)}")


def copy_shares(titles: list[str], evaluations: list[Evaluation]) -> Markup | None:
    """Draw the share of altered copies with the original as first hit; None without this measurement."""
    measured = [(title, one.ranks) for title, one in zip(titles, evaluations, strict=True) if one.ranks]
    if not measured:
        return None
    figure = new_figure(3.4)
    axis = figure.subplots()
    names, width = list(measured[0][1]), 0.8 / len(measured)
    for number, (title, ranks) in enumerate(measured):
        means = np.array([confidence_interval(ranks[name] == 1) for name in names])
        axis.bar(
            np.arange(len(names)) + (number - (len(measured) - 1) / 2) * width,
            means[:, 0],
            width * 0.9,
            yerr=np.abs(means[:, 1:] - means[:, :1]).T,
            error_kw={"ecolor": INK, "alpha": 0.5, "capsize": 2},
            color=COLOURS[number % len(COLOURS)],
            label=title,
        )
    axis.set_xticks(np.arange(len(names)), names)
    axis.grid(axis="x", visible=False)
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("original is the first hit")
    figure.legend(loc="outside lower center", ncols=4)
    said = "; ".join(
        f"{title}: " + ", ".join(f"{name} {(each == 1).mean():.2f}" for name, each in ranks.items())
        for title, ranks in measured
    )
    return as_svg(figure, f"share of altered copies whose original is the first hit. {said}")


def speeds(points: list[tuple[str, float, Interval]], measure: str) -> Markup:
    """Draw a measure, its mean and interval, against images per second for each named network."""
    figure = new_figure(3.8)
    axis = figure.subplots()
    for number, (name, rate, interval) in enumerate(points):
        _draw_interval(axis, number, rate, interval, name)
    _set_log_scale(axis, "images/s")
    axis.set_ylabel(measure)
    figure.legend(loc="outside lower center", ncols=3)
    said = "; ".join(f"{name}: {interval.mean:.3f} at {rate:,.0f} images/s" for name, rate, interval in points)
    return as_svg(figure, f"{measure} against images per second. {said}")


def similarities(one: Evaluation) -> Markup:
    """Draw the distribution of similarities: of hits, by match if there are labels, and of random pairs."""
    found, rows = one.relevance, one.rows
    groups = {f"{one.config.collection.noun}s at random": one.chance}
    if found:
        counts = found.counts[:, None] & (rows >= 0)
        groups["hits without a shared label"] = one.similarities[counts & (found.gains == 0)]
        groups["hits with a shared label"] = one.similarities[counts & (found.gains > 0)]
    else:
        groups[f"hit {rows.shape[1]}"] = one.similarities[rows[:, -1] >= 0, -1]
        groups["first hit"] = one.similarities[rows[:, 0] >= 0, 0]
    groups = {name: values for name, values in groups.items() if len(values)}
    everything = np.concatenate(list(groups.values()))
    low, high = float(everything.min()), float(everything.max())
    bins = np.linspace(low, max(high, low + 1e-3), BINS + 1)
    figure = new_figure(3)
    axis = figure.subplots()
    for (name, values), colour in zip(groups.items(), (COLOURS[-1], COLOURS[1], COLOURS[0]), strict=False):
        heights, edges = np.histogram(values, bins)
        axis.stairs(heights / len(values), edges, fill=True, alpha=0.3, color=colour)
        axis.stairs(heights / len(values), edges, color=colour, linewidth=1.5, label=f"{name} ({len(values):,})")
    axis.set_xlabel("cosine similarity")
    axis.set_ylabel("share")
    figure.legend(loc="outside lower center", ncols=3)
    medians = "; ".join(f"{name}: median {np.median(values):.2f}" for name, values in groups.items())
    return as_svg(figure, f"distribution of similarities. {medians}")


def classes(precisions: list[tuple[str, int, float]], worst: int) -> Markup:
    """Draw precision by class, the worst first; the first `worst` classes have another colour."""
    figure = new_figure(3)
    axis = figure.subplots()
    places = np.arange(len(precisions))
    colours = [COLOURS[1] if place < worst else COLOURS[0] for place in places]
    axis.bar(places, [share for _, _, share in precisions], 0.85, color=colours)
    axis.set_ylim(0, 1.02)
    axis.margins(x=0.01)
    axis.grid(axis="x", visible=False)
    axis.set_ylabel("precision")
    if len(precisions) <= NAMED_CLASSES:
        names = [label if len(label) <= 20 else f"{label[:19]}…" for label, _, _ in precisions]
        axis.set_xticks(places, names, rotation=60, ha="right")
    else:
        axis.set_xticks([])
        axis.set_xlabel(f"{len(precisions)} classes, the worst first")
    said = ", ".join(f"{label} {share:.2f}" for label, _, share in precisions[:worst])
    return as_svg(figure, f"precision by class, {len(precisions)} classes. The worst: {said}")


def in_page_style(draw: Callable[..., T], *arguments: object) -> T:
    """Return the result of a plot function, drawn in the style of the page."""
    with matplotlib.rc_context(STYLE):
        return draw(*arguments)


def _draw_interval(axis: Axes, number: int, cost: float, interval: Interval, label: str | None) -> None:
    """Draw a mean with its interval at a cost; the number of the system gives colour and marker."""
    mean, low, high = interval
    axis.errorbar(
        cost,
        mean,
        [[mean - low], [high - mean]],
        fmt=MARKERS[number % len(MARKERS)],
        markersize=8,
        capsize=4,
        color=COLOURS[number % len(COLOURS)],
        clip_on=False,
        label=label,
    )


def _set_log_scale(axis: Axes, label: str) -> None:
    axis.set_xscale("log")
    axis.margins(x=0.2)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel(label)


def new_figure(height: float) -> Figure:
    return Figure((9, height), layout="constrained")


def as_svg(figure: Figure, description: str) -> Markup:
    """Return the figure as an SVG element in the text colour of the page, with its description as label."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :].replace(INK, "currentColor")
    drawing = re.sub(r' xmlns(:xlink)?="[^"]*"', "", drawing)
    return Markup(drawing.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1))
