"""A comparison of networks in words, as a table, as JSON and as an HTML page."""

from collections.abc import Mapping
from math import log2
from pathlib import Path

import numpy as np

from similar_images.evaluation.encoding import split_weights
from similar_images.evaluation.labels import unlabelled
from similar_images.evaluation.networks import NetworkComparison, NetworkQuality
from similar_images.evaluation.report import Row, Summary, aligned, as_interval, load_plots
from similar_images.evaluation.similarities import K as DEEP
from similar_images.index.quality import MIN_VERDICT_QUERIES, Interval, confidence_interval
from similar_images.index.recipes import REDUCED_DIMENSION, list_count
from similar_images.index.similarity import COMPONENTS, COSINE
from similar_images.inputs.names import escape_line
from similar_images.inputs.texts import PROMPT_SLOT
from similar_images.networks.description import reads_words
from similar_images.records import to_json
from similar_images.templates import pages

MILLION = 1_000_000
NO_DIFFERENCE = Interval(0.0, 0.0, 0.0)  # of a network or a prompt to itself
MIN_GAIN = 0.05  # of the measure, 0 to 1, for twice the time


def verdict(found: NetworkComparison) -> list[str]:
    """Return in sentences the best network, the significance of its lead, and the best network for its speed."""
    title = titles(found)[found.measure]
    each = {name: _decisive_values(found, one) for name, one in zip(names(found), found.networks, strict=True)}
    rates = {name: one.encoded.rate for name, one in zip(each, found.networks, strict=True)}
    best, *others = sorted(each, key=lambda name: -each[name].mean())
    if not others:
        return [f"{best}: {title} {as_interval(each[best])}."]
    if (queries := len(each[best])) < MIN_VERDICT_QUERIES:
        kind = "images with a shared label" if found.labels else "images with altered copies"
        return [f"No verdict: only {queries} {kind}, at least {MIN_VERDICT_QUERIES} are needed."]
    alike = [name for name in others if not confidence_interval(each[best] - each[name], minimum=-1)[1] > 0]
    by = "by {:.3f} [{:.3f}, {:.3f}]".format(*confidence_interval(each[best] - each[others[0]], minimum=-1))
    quick = max(each, key=lambda name: each[name].mean() + MIN_GAIN * log2(rates[name]))
    return [
        f"Best: {best}, {title} {each[best].mean():.3f}.",
        f"{_joined(alike)} {'is' if len(alike) == 1 else 'are'} not worse beyond chance ({others[0]} {by}): the sample "
        "does not tell them apart."
        if alike
        else f"The next, {others[0]}, is worse beyond chance, {by}.",
        f"Best for its speed: {quick}, {each[quick].mean():.3f} at {rates[quick]:,.0f} images/s, if twice the time "
        f"must gain {MIN_GAIN}.",
    ]


def names(found: NetworkComparison) -> list[str]:
    """Return a short name of each network: the NAME of NAME=FILE, if it is unique."""
    short = [split_weights(one.encoded.network)[0] for one in found.networks]
    return [
        name if short.count(name) == 1 else one.encoded.network for name, one in zip(short, found.networks, strict=True)
    ]


def titles(found: NetworkComparison) -> Mapping[str, str]:
    """Return the displayed names of the measures."""
    return {"precision": f"precision@{found.k}", "mAP": f"mAP@{DEEP}", "copies": "copies found first"}


def lines(found: NetworkComparison) -> list[Row]:
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
    """Return network, prompt, precision@k of the labels' words, and its gain over the plain words."""
    return [
        (
            *(name, prompt, as_interval(each)),
            "" if prompt == PROMPT_SLOT else as_interval(each - one.prompts[PROMPT_SLOT], minimum=-1),
        )
        for name, one in zip(names(found), found.networks, strict=True)
        for prompt, each in one.prompts.items()
    ]


def prompt_verdict(found: NetworkComparison) -> list[str]:
    """Return in a sentence the best prompt for each network that reads words."""
    sentences = []
    for name, one in zip(names(found), found.networks, strict=True):
        if not one.prompts:
            continue
        best = max(one.prompts, key=lambda prompt: one.prompts[prompt].mean())  # of equals the first: the plain words
        lead = one.prompts[best] - one.prompts[PROMPT_SLOT]
        if len(lead) < MIN_VERDICT_QUERIES:
            sentences.append(
                f"{name}: no verdict on prompts, only {len(lead)} labels, at least {MIN_VERDICT_QUERIES} are needed."
            )
        elif best == PROMPT_SLOT or not confidence_interval(lead, minimum=-1)[1] > 0:
            sentences.append(f"{name}: no prompt is better than the plain words beyond chance.")
        else:
            gain = as_interval(lead, minimum=-1)
            sentences.append(f'{name}: search with --prompt "{best}", {gain} more than the plain words.')
    return sentences


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


def summary(found: NetworkComparison) -> Summary:
    """Return the comparison for JSON, each mean with its 95% interval."""
    first = found.networks[0]
    content = {
        "folder": str(found.folder),
        "images": found.images,
        "total": found.total,
        "skipped": found.skipped,
        "k": found.k,
        "labels": found.labels.source if found.labels else None,
        "unlabelled": unlabelled(found.labels) if found.labels else found.images,
        "networks": [_summary(one, first) for one in found.networks],
        "failed": found.failed,
        "verdict": [*verdict(found), *prompt_verdict(found)],
    }
    values: Summary = to_json(content)
    return values


def write(path: Path, found: NetworkComparison) -> None:
    """Write the page, whole or not at all. Raises OSError without Matplotlib."""
    plots = load_plots()
    points = [
        (name, one.encoded.rate, confidence_interval(_decisive_values(found, one)))
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
        plot=plots.in_page_style(plots.speeds, points, titles(found)[found.measure]),
        deep=DEEP,
        min_gain=MIN_GAIN,
        unlabelled=unlabelled(found.labels) if found.labels else 0,
    )


def _summary(one: NetworkQuality, first: NetworkQuality) -> Summary:
    encoded, plain, d = one.encoded, one.prompts.get(PROMPT_SLOT), one.encoded.description.dimension
    return {
        "network": encoded.network,
        "description": encoded.description.to_json(),
        "engine": encoded.engine,
        "similarity": one.similarity,
        "measures": {
            similarity: {name: confidence_interval(each) for name, each in values.items()}
            for similarity, values in one.values.items()
        },
        "less_the_first": {
            name: confidence_interval(each - first.values[first.similarity][name], minimum=-1)
            if one is not first
            else NO_DIFFERENCE
            for name, each in one.values[one.similarity].items()
        },
        "images_per_second": encoded.rate,
        "images_per_second_alone": encoded.alone,
        "bytes": {"vector": 4 * d, "index_of_a_million": index_bytes(d, one.similarity), "weights": encoded.bytes},
        "was_here": encoded.was_here,
        "reads_words": reads_words(encoded.description),
        "prompts": {
            prompt: {
                "precision": confidence_interval(each),
                "less_plain": NO_DIFFERENCE if prompt == PROMPT_SLOT else confidence_interval(each - plain, minimum=-1),
            }
            for prompt, each in one.prompts.items()
        },
    }


def _decisive_values(found: NetworkComparison, one: NetworkQuality) -> np.ndarray:
    """Return the values (q,) of the decisive measure, by the similarity of an index."""
    return one.values[one.similarity][found.measure]


def index_bytes(d: int, similarity: str) -> int:
    """Return the bytes of all files that `build` writes for a million vectors (n, d), by the recipe for so many."""
    is_cosine = similarity == COSINE.name
    c = min(d, REDUCED_DIMENSION if is_cosine else COMPONENTS) // 2 * 2
    code, row = c // 4, 8  # bytes: 4 bits for each pair of numbers, and the id
    kept = 0 if is_cosine else 2 * c  # the vectors for re-ranking, float16
    return MILLION * (code + row + kept) + 4 * c * list_count(MILLION) + 4 * c * d


def _weights(one: NetworkQuality) -> str:
    size = one.encoded.bytes
    if size == 0:
        return "none"
    place = "here" if one.encoded.was_here else "downloaded now"
    return place if size is None else f"{size / 1e6:,.0f} MB, {place}"


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
