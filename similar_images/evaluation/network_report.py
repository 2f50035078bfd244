"""Compared networks in words, as a table, as JSON and as an HTML page."""

from math import log2
from pathlib import Path
from typing import Any

import numpy as np

from similar_images.evaluation.encoding import split_weights
from similar_images.evaluation.labels import unlabelled
from similar_images.evaluation.networks import Measured, NetworkComparison
from similar_images.evaluation.report import aligned, as_interval, load_plots, mean_interval
from similar_images.evaluation.similarities import K as DEEP
from similar_images.index.quality import MIN_VERDICT_QUERIES, confidence_interval
from similar_images.index.recipes import REDUCED_DIMENSION, list_count
from similar_images.index.similarity import COMPONENTS, COSINE
from similar_images.inputs.names import escape_line
from similar_images.inputs.texts import PROMPT_SLOT
from similar_images.networks.description import reads_words
from similar_images.templates import pages

MILLION = 1_000_000
SAME = {"mean": 0.0, "low": 0.0, "high": 0.0}  # the difference of a network or a prompt to itself
WORTH = 0.05  # of the measure, from 0 to 1: what a network must gain if it takes twice the time


def verdict(found: NetworkComparison) -> list[str]:
    """Return in sentences which network is best, whether that is beyond chance, and which is best for its speed."""
    title = titles(found)[found.measure]
    each = {name: _deciding(found, one) for name, one in zip(names(found), found.networks, strict=True)}
    rates = {name: one.encoded.rate for name, one in zip(each, found.networks, strict=True)}
    best, *others = sorted(each, key=lambda name: -each[name].mean())
    if not others:
        return [f"{best}: {title} {as_interval(each[best])}."]
    if (queries := len(each[best])) < MIN_VERDICT_QUERIES:
        return [f"No verdict: only {queries} {_queries(found)}, at least {MIN_VERDICT_QUERIES} are needed."]
    alike = [name for name in others if not confidence_interval(each[best] - each[name], minimum=-1)[1] > 0]
    by = "by {:.3f} [{:.3f}, {:.3f}]".format(*confidence_interval(each[best] - each[others[0]], minimum=-1))
    quick = max(each, key=lambda name: each[name].mean() + WORTH * log2(rates[name]))
    return [
        f"Best: {best}, {title} {each[best].mean():.3f}.",
        f"{_joined(alike)} {'is' if len(alike) == 1 else 'are'} not worse beyond chance ({others[0]} {by}): the sample "
        "does not tell them apart."
        if alike
        else f"The next, {others[0]}, is worse beyond chance, {by}.",
        f"Best for its speed: {quick}, {each[quick].mean():.3f} at {rates[quick]:,.0f} images/s, where twice the time "
        f"must gain {WORTH}.",
    ]


def _queries(found: NetworkComparison) -> str:
    return "images with a label that others have too" if found.labels else "images with altered copies"


def names(found: NetworkComparison) -> list[str]:
    """Return a short name of each network: of NAME=FILE the name, if no other has it."""
    short = [split_weights(one.encoded.network)[0] for one in found.networks]
    return [
        name if short.count(name) == 1 else one.encoded.network for name, one in zip(short, found.networks, strict=True)
    ]


def titles(found: NetworkComparison) -> dict[str, str]:
    """Return what the measures are called."""
    return {"precision": f"precision@{found.k}", "mAP": f"mAP@{DEEP}", "copies": "copies found first"}


def lines(found: NetworkComparison) -> list[tuple[str, list[str]]]:
    """Return the rows of the table: a measure and its value for each network, as text."""
    networks, first = found.networks, found.networks[0]
    rows = [("similarity", [one.similarity for one in networks])]
    for measure in first.values[first.similarity]:
        title, each = titles(found)[measure], [one.values[one.similarity][measure] for one in networks]
        rows.append((title, [as_interval(one) for one in each]))
        if len(networks) > 1:
            rows.append((f"{title}, less the first", ["", *(as_interval(one - each[0], -1) for one in each[1:])]))
        cosine = [f"{one.values[COSINE.name][measure].mean():.3f}" for one in networks]
        rows.append((f"{title}, cosine", cosine))
    dimensions = [one.encoded.description.dimension for one in networks]
    sizes = [index_bytes(d, one.similarity) / 1e6 for d, one in zip(dimensions, networks, strict=True)]
    return [
        *rows,
        ("images/s", [f"{one.encoded.rate:,.0f}" for one in networks]),
        ("images/s, network alone", [f"{one.encoded.alone:,.0f}" for one in networks]),
        ("numbers in a vector", [f"{d:,}" for d in dimensions]),
        ("bytes of a vector", [f"{4 * d:,}" for d in dimensions]),
        ("MB of an index of a million", [f"{size:,.0f}" for size in sizes]),
        ("weights", [_weights(one) for one in networks]),
        ("reads words", ["yes" if reads_words(one.encoded.description) else "no" for one in networks]),
    ]


def prompt_lines(found: NetworkComparison) -> list[tuple[str, str, str, str]]:
    """Return network, prompt, precision@k of the labels' words, and what it has more than the words as they are."""
    return [
        (
            *(name, prompt, as_interval(each)),
            "" if prompt == PROMPT_SLOT else as_interval(each - one.prompts[PROMPT_SLOT], least=-1),
        )
        for name, one in zip(names(found), found.networks, strict=True)
        for prompt, each in one.prompts.items()
    ]


def prompt_verdict(found: NetworkComparison) -> list[str]:
    """Return in sentences which prompt is best for each network that reads words."""
    said = []
    for name, one in zip(names(found), found.networks, strict=True):
        if not one.prompts:
            continue
        best = max(one.prompts, key=lambda prompt: one.prompts[prompt].mean())  # of equals the first: the plain words
        lead = one.prompts[best] - one.prompts[PROMPT_SLOT]
        if len(lead) < MIN_VERDICT_QUERIES:
            said.append(
                f"{name}: no verdict on prompts, only {len(lead)} labels, at least {MIN_VERDICT_QUERIES} are needed."
            )
        elif best == PROMPT_SLOT or not confidence_interval(lead, minimum=-1)[1] > 0:
            said.append(f"{name}: no prompt is better than the words as they are beyond chance.")
        else:
            gain = as_interval(lead, least=-1)
            said.append(f'{name}: search with --prompt "{best}", {gain} more than the words as they are.')
    return said


def as_text(found: NetworkComparison) -> str:
    """Return the comparison for a terminal."""
    parts = [
        aligned([("", names(found)), *lines(found)]),
        "\n".join(map(escape_line, verdict(found))),
    ]
    if prompts := prompt_lines(found):
        head = ("network", ["prompt", f"precision@{found.k} of words", f'less "{PROMPT_SLOT}"'])
        parts.append(aligned([head, *((name, list(rest)) for name, *rest in prompts)]))
        parts.append("\n".join(map(escape_line, prompt_verdict(found))))
    return "\n\n".join(parts)


def summary(found: NetworkComparison) -> dict[str, Any]:
    """Return the comparison for JSON, each mean with its 95% interval."""
    first = found.networks[0]
    return {
        "folder": str(found.folder),
        "images": found.images,
        "total": found.total,
        "skipped": [one._asdict() for one in found.skipped],
        "k": found.k,
        "labels": found.labels.source if found.labels else None,
        "unlabelled": unlabelled(found.labels) if found.labels else found.images,
        "networks": [_summary(one, first) for one in found.networks],
        "failed": found.failed,
        "verdict": [*verdict(found), *prompt_verdict(found)],
    }


def write(path: Path, found: NetworkComparison) -> None:
    """Write the page, whole or not at all. Raises OSError without Matplotlib."""
    plots = load_plots()
    points = [
        (name, one.encoded.rate, confidence_interval(_deciding(found, one)))
        for name, one in zip(names(found), found.networks, strict=True)
    ]
    pages.write(
        path,
        "networks.html",
        found=found,
        verdict=verdict(found),
        titles=names(found),
        lines=lines(found),
        prompts=prompt_lines(found),
        prompt_verdict=prompt_verdict(found),
        plot=plots.drawn(plots.speeds, points, titles(found)[found.measure]),
        deep=DEEP,
        worth=WORTH,
        unlabelled=unlabelled(found.labels) if found.labels else 0,
    )


def _summary(one: Measured, first: Measured) -> dict[str, Any]:
    encoded, plain, d = one.encoded, one.prompts.get(PROMPT_SLOT), one.encoded.description.dimension
    return {
        "network": encoded.network,
        "description": encoded.description.to_json(),
        "engine": encoded.engine,
        "similarity": one.similarity,
        "measures": {
            similarity: {name: mean_interval(each) for name, each in values.items()}
            for similarity, values in one.values.items()
        },
        "less_the_first": {
            name: mean_interval(each - first.values[first.similarity][name], least=-1) if one is not first else SAME
            for name, each in one.values[one.similarity].items()
        },
        "images_per_second": encoded.rate,
        "images_per_second_alone": encoded.alone,
        "bytes": {"vector": 4 * d, "index_of_a_million": index_bytes(d, one.similarity), "weights": encoded.bytes},
        "was_here": encoded.was_here,
        "reads_words": reads_words(encoded.description),
        "prompts": {
            prompt: {
                "precision": mean_interval(each),
                "less_plain": SAME if prompt == PROMPT_SLOT else mean_interval(each - plain, least=-1),
            }
            for prompt, each in one.prompts.items()
        },
    }


def _deciding(found: NetworkComparison, one: Measured) -> np.ndarray:
    """Return the values (q,) of the measure that decides, in the similarity that an index would have."""
    return one.values[one.similarity][found.measure]


def index_bytes(d: int, similarity: str) -> int:
    """Return the bytes of all files that `build` writes for a million vectors (n, d), by the recipe for so many."""
    is_cosine = similarity == COSINE.name
    c = min(d, REDUCED_DIMENSION if is_cosine else COMPONENTS) // 2 * 2
    code, row = c // 4, 8  # bytes: 4 bits for each pair of numbers, and the id
    kept = 0 if is_cosine else 2 * c  # the vectors for re-ranking, float16
    return MILLION * (code + row + kept) + 4 * c * list_count(MILLION) + 4 * c * d


def _weights(one: Measured) -> str:
    size = one.encoded.bytes
    if size == 0:
        return "none"
    said = "here" if one.encoded.was_here else "downloaded now"
    return said if size is None else f"{size / 1e6:,.0f} MB, {said}"


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
