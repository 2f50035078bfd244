#!/usr/bin/env python3
"""Measure texts per second of each backend, compared with the library's encode and with a loop over single texts.

All alternate. --sts adds the agreement with the STS benchmark, --index the time of a query.

./benchmarks/texts.py tweets/texts_20k.csv --sts sts-dev.tsv --index tweets/tweets_20000.faiss.index
"""

import sys
from pathlib import Path
from time import perf_counter

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.cli.options import FILE
from similar_images.collection.texts import TextCollection
from similar_images.evaluation import sts
from similar_images.inputs.texts import read_texts
from similar_images.networks.text import load_text_network

LOOPED = 5  # the slow loop gets a fifth of the texts
WARMING = 50  # texts
QUERIES = 500


@click.command()
@click.argument("file", type=FILE)
@click.option("--column")
@click.option("--sts", "sts_file", type=FILE, help="A file of the STS benchmark.")
@click.option("--index", type=FILE, help="The index of these texts.")
@click.option("--count", type=click.IntRange(min=100), default=2000, show_default=True, help="Number of random texts.")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
def main(file: Path, column: str | None, sts_file: Path | None, index: Path | None, count: int, repeats: int) -> None:
    if index:
        time_queries(TextCollection.open(file, index, column))
    texts = read_texts(file, column)
    texts = [texts[row] for row in np.random.default_rng(0).permutation(len(texts))[:count]]
    encoders = {"torch": load_text_network(engine="torch"), "openvino": load_text_network(engine="openvino")}
    try:
        encoders["openvino, bfloat16"] = load_text_network(engine="openvino", precision="bfloat16")
    except ValueError as error:
        print(error)
    library = encoders["torch"].engine.model
    methods = {
        "loop of encode": lambda some: [library.encode(text) for text in some[: len(some) // LOOPED]],
        "library's encode": library.encode,
        **{name: encoder.encode for name, encoder in encoders.items()},
    }
    rates = {name: [] for name in methods}
    for encode in methods.values():
        encode(texts[: WARMING * LOOPED])
    for _ in range(repeats):
        for name, encode in methods.items():
            began = perf_counter()
            done = len(encode(texts))
            rates[name].append(done / (perf_counter() - began))
    loop, whole = (np.array(rates[name]) for name in ("loop of encode", "library's encode"))
    print(f"{len(texts)} texts, {repeats} repeats: medians")
    print("method               texts/s   / loop        / library's encode        Spearman")
    pairs = sts.read_pairs(sts_file) if sts_file else None
    for name, each in rates.items():
        agreed = f"{sts.agreement(encoders[name], pairs).spearman:.4f}" if pairs and name in encoders else ""
        beside = [np.median(each / base) for base in (loop, whole)]
        print(f"{name:18} {np.median(each):9.1f} {beside[0]:13.2f} {beside[1]:25.2f}   {agreed}", flush=True)


def time_queries(collection: TextCollection) -> None:
    collection.load_network()
    took = []
    for row in np.random.default_rng(1).permutation(len(collection))[: QUERIES + WARMING]:
        began = perf_counter()
        query = collection.encode(" ".join(collection.names[row].split()[::-1]))
        encoded = perf_counter()
        collection.nearest(query, k=8, reranked=collection.has_vectors)
        took.append((encoded - began, perf_counter() - encoded))
    encoding, search = 1000 * np.array(took[WARMING:]).T
    for name, each in (("encoding", encoding), ("search", search)):
        print(f"{name} of a query: {np.median(each):.2f} ms, p95 {np.percentile(each, 95):.2f} ms")


if __name__ == "__main__":
    main()
