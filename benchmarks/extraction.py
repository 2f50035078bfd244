#!/usr/bin/env python3
"""Compare extraction with a plain loop and with the machine's peak rate; measure memory and the time of each step.

./benchmarks/extraction.py PHOTOGRAPHS
./benchmarks/extraction.py PHOTOGRAPHS --network mobilenetv2 --weights FILE
./benchmarks/extraction.py PHOTOGRAPHS --network vgg16 --count 400 --gflop 30.9      (random weights are as fast as real ones)
./benchmarks/extraction.py PHOTOGRAPHS --network vgg16 --memory                     (1,000 and 10,000 images)

The plain loop works like the script of 2022: decode 32 images one by one, then call Keras' predict_on_batch. Networks
without a Keras version run on this project's backend instead. Both sides alternate, each in its own process; loading
and warming up the network are not timed, starting the decoders is. Images are repeated if the folder has too few.
Prints medians of all rounds. The limit is the measured rate of float32 matrix products (NumPy's BLAS, all cores)
divided by the network's GFLOP per image. Memory is the joint peak of the process and its decoders.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

BATCH = 32
MATRIX = 4096


def take(folder: Path, count: int) -> list[str]:
    from similar_images.inputs.sources import open_source

    names = open_source(folder).find().names
    return [names[i % len(names)] for i in range(count)]


def plain(folder: Path, names: list[str], network: str, model: Path | None, weights: Path | None) -> dict:
    from PIL import Image

    encode, side, filter_ = (by_keras if is_of_keras(network) else by_backend)(network, model, weights)
    resampling = Image.Resampling[filter_.upper()]
    encode(np.zeros((BATCH, side, side, 3), np.uint8))
    began, vectors, decoding = time.perf_counter(), [], 0.0
    for start in range(0, len(names), BATCH):
        before = time.perf_counter()
        pixels = [
            np.asarray(Image.open(folder / name).convert("RGB").resize((side, side), resampling))
            for name in names[start : start + BATCH]
        ]
        decoding += time.perf_counter() - before
        vectors.append(encode(np.stack(pixels)))
    seconds = time.perf_counter() - began
    return {"rate": len(names) / seconds, "decoding": decoding / seconds}


def is_of_keras(network: str) -> bool:
    from similar_images.networks.catalog import NETWORKS

    return network in NETWORKS and NETWORKS[network].keras is not None


def by_keras(network: str, model: Path | None, weights: Path | None) -> tuple[Callable, int, str]:
    """Return the function that encodes uint8 pixels (b, side, side, 3), the side, and the resampling."""
    from similar_images.networks import keras as keras_networks
    from similar_images.networks.catalog import NETWORKS

    entry = NETWORKS[network]
    keras = keras_networks.load_keras_model(entry, model, weights)
    preprocess = keras_networks.preprocess_input(entry)
    return lambda pixels: keras.predict_on_batch(preprocess(pixels.astype(np.float32))), entry.side, entry.resampling


def by_backend(network: str, model: Path | None, weights: Path | None) -> tuple[Callable, int, str]:
    """Return the same of a network that Keras does not have."""
    from similar_images.networks import loader

    encoder = loader.load(network, loader.LoadOptions(model, weights))
    return encoder.encode, encoder.preparation.height, encoder.preparation.resampling


def ours(folder: Path, names: list[str], network: str, model, weights, *backend) -> dict:
    """Measure this project's extraction; `backend` is the engine, the precision and the batch size."""
    from similar_images.inputs.sources import open_source
    from similar_images.networks.catalog import Encoder
    from similar_images.vectors.decode_pool import DecodePool
    from similar_images.vectors.extract import LocalExecutor, NetworkChoice, extract
    from similar_images.vectors.items import Items
    from similar_images.vectors.manifest import Runtime
    from similar_images.vectors.writer import Writer

    engine, precision, batch = backend
    choice = NetworkChoice(network, model, weights, None, engine, precision, batch=batch)
    encoder, runtime = choice.load(Runtime())
    alone = network_rate(encoder, runtime.batch)
    parts = {"network": (Encoder, "encode"), "decoders": (DecodePool, "_finish"), "disk": (Writer, "checkpoint")}
    spent = {part: timed(*place) for part, place in parts.items()}
    with tempfile.TemporaryDirectory() as name:
        items = Items(Path(name) / "list.txt", names, open_source(folder))
        loading, began = timed(NetworkChoice, "load"), time.perf_counter()
        extract(items, Path(name) / "v.npy", LocalExecutor(choice))
        seconds = time.perf_counter() - began - sum(loading)
    return {
        "rate": len(names) / seconds,
        "alone": alone,
        **{part: sum(each) / seconds for part, each in spent.items()},
        "engine": encoder.engine.name,
        "batch": runtime.batch,
    }


def network_rate(encoder, batch: int) -> float:
    """Return the images a second that the network alone encodes."""
    pixels = np.random.default_rng(0).integers(0, 256, (batch, *encoder.preparation.shape), dtype=np.uint8)
    seconds = []
    for _ in range(3):  # the first run allocates memory
        start = time.perf_counter()
        encoder.encode(pixels)
        seconds.append(time.perf_counter() - start)
    return batch / min(seconds[1:])


def timed(owner: object, name: str) -> list[float]:
    """Have each call of a method timed; return the list that its seconds are put in."""
    seconds, method = [], getattr(owner, name)

    def call(*arguments):
        before = time.perf_counter()
        try:
            return method(*arguments)
        finally:
            seconds.append(time.perf_counter() - before)

    setattr(owner, name, call)
    return seconds


def product() -> float:
    """Return GFLOP/s of a float32 matrix product."""
    matrix = np.random.default_rng(0).random((MATRIX, MATRIX), dtype=np.float32)
    matrix @ matrix
    began = time.perf_counter()
    matrix @ matrix
    return 2 * MATRIX**3 / (time.perf_counter() - began) / 1e9


def side(name: str, *arguments: object) -> dict:
    """Run one side in its own process; return its measurements with the peak memory in GB."""
    command = [sys.executable, __file__, "--side", name, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def watch(used: list[int]) -> None:
    """Record the memory of this process and its decoders twice a second; shared memory counts once."""
    import psutil

    while True:
        total = 0
        for process in (me := psutil.Process(), *me.children(recursive=True)):
            with suppress(psutil.Error):  # it ended meanwhile
                total += process.memory_full_info().pss
        used.append(total)
        time.sleep(0.5)


def run_side(name: str, arguments: str) -> None:
    folder, count, network, model, weights, *rest = json.loads(arguments)
    files = [Path(file) if file else None for file in (model, weights)]
    measure = {"plain": plain, "ours": ours}[name]
    used: list[int] = []
    Thread(target=watch, args=(used,), daemon=True).start()
    measured = measure(Path(folder), take(Path(folder), count), network, *files, *rest)
    measured["memory"] = max(used) / 1e9
    print(json.dumps(measured))


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--network", default="efficientnetlite0", show_default=True)
@click.option("-m", "--model", type=click.Path(path_type=Path))
@click.option("--weights", type=click.Path(path_type=Path))
@click.option("--engine")
@click.option("--precision", default="float32", show_default=True)
@click.option("--count", default=1000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--memory", is_flag=True, help="Only compare the memory of 1,000 and of 10,000 images.")
@click.option("-b", "--batch", type=int, help="[default: of the backend]")
@click.option("--gflop", type=float, help="Of the network, an image: to print the limit.")
def main(
    folder: Path,
    network: str,
    model: Path | None,
    weights: Path | None,
    engine: str | None,
    precision: str,
    count: int,
    rounds: int,
    memory: bool,
    batch: int | None,
    gflop: float | None,
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        if not model and not weights and is_of_keras(network):
            model = Path(temporary) / "random.h5"
            subprocess.run([sys.executable, __file__, "--random", network, str(model)], check=True, capture_output=True)
        common = str(folder), count, network, str(model) if model else None, str(weights) if weights else None
        side("ours", str(folder), min(count, 200), *common[2:], engine, precision, batch)  # exports the network
        if memory:
            few, many = (
                side("ours", str(folder), n, *common[2:], engine, precision, batch)["memory"] for n in (1_000, 10_000)
            )
            print(f"{network}, {precision}: {few:.2f} GB for 1,000 images, {many:.2f} GB for 10,000: {many / few:.3f}")
            return
        results = []
        for _ in range(rounds):
            limit = product()
            results.append((side("plain", *common), side("ours", *common, engine, precision, batch), limit))
            before, after, _ = results[-1]
            print(
                f"plain {before['rate']:.1f} images/s ({before['memory']:.2f} GB), ours {after['rate']:.1f} "
                f"({after['memory']:.2f} GB, {after['engine']}, batch {after['batch']}, network alone "
                f"{after['alone']:.1f}), products {limit:.0f} GFLOP/s",
                flush=True,
            )
    middle = lambda values: float(np.median(list(values)))  # noqa: E731
    print(
        f"{network}, {precision}, {count} images: ours / plain {middle(b['rate'] / a['rate'] for a, b, _ in results):.2f}"
    )
    shares = {part: middle(b[part] for _, b, _ in results) for part in ("network", "decoders", "disk")}
    print("of the time: " + ", ".join(f"{part} {share:.3f}" for part, share in shares.items()))
    print(
        f"peak memory: plain {middle(a['memory'] for a, _, _ in results):.2f} GB, ours {middle(b['memory'] for _, b, _ in results):.2f} GB"
    )
    if gflop:
        print(f"of the limit: {middle(b['rate'] * gflop / limit for _, b, limit in results):.2f}")


def save_random(network: str, file: str) -> None:
    from similar_images.networks import keras as keras_networks
    from similar_images.networks.catalog import NETWORKS

    module, name = NETWORKS[network].keras.split(".")
    top = {} if NETWORKS[network].layer else {"include_top": False, "pooling": "avg", "input_shape": (224, 224, 3)}
    build = getattr(getattr(keras_networks.import_keras().applications, module), name)
    build(weights=None, **top).save(file)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        run_side(*sys.argv[2:])
    elif sys.argv[1:2] == ["--random"]:
        save_random(*sys.argv[2:])
    else:
        main()
