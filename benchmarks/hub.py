#!/usr/bin/env python3
"""Measure images per second of hub networks by backend and batch size, on this machine's processor or GPU.

./benchmarks/hub.py [--network clip-vit-base-patch32] [--batch 8] [--batch 64] [--seconds 3]

Networks have real sizes and random weights, which take as long as trained weights. They are built from their
configurations, saved, and loaded as users load them. Pixels are noise; reading files is not measured. Each backend and
batch size runs three times, alternately, for some seconds after a warm-up. Prints medians, ratios to ONNX Runtime, and
cosines between the vectors of each backend and of the first one. `torch` uses a GPU if present, also in half
precision.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

ROUNDS = 3


def save(name: str, folder: Path) -> None:
    """Save a network of the hub's size with random weights."""
    from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model, SiglipConfig, SiglipModel

    large = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
    models = {
        "clip-vit-base-patch32": lambda: CLIPModel(CLIPConfig()),
        "siglip-base-patch16-224": lambda: SiglipModel(SiglipConfig()),
        "dinov2-small": lambda: Dinov2Model(Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=224)),
        "dinov2-base": lambda: Dinov2Model(Dinov2Config(hidden_size=large["hidden_size"], image_size=224)),
    }
    models[name]().eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        '{"image_processor_type": "CLIPImageProcessor", "size": 224, "crop_size": 224, "do_center_crop": true}'
    )


def rate(encoder, pixels: np.ndarray, seconds: float) -> float:
    """Return images a second."""
    began, count = perf_counter(), 0
    while perf_counter() - began < seconds:
        encoder.encode(pixels)
        count += len(pixels)
    return count / (perf_counter() - began)


@click.command()
@click.option(
    "--network", "names", multiple=True, default=("clip-vit-base-patch32", "siglip-base-patch16-224", "dinov2-small")
)
@click.option("--batch", "batches", type=int, multiple=True, default=(1, 8, 32, 128), show_default=True)
@click.option("--engine", "engines", multiple=True, default=("onnxruntime", "openvino", "torch"), show_default=True)
@click.option("--seconds", default=3.0, show_default=True)
def main(names: tuple[str, ...], batches: tuple[int, ...], engines: tuple[str, ...], seconds: float) -> None:
    import torch

    from similar_images.networks import hub
    from similar_images.networks.onnx import min_cosine

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "processor"
    print(f"torch computes on: {device}")
    halves = (
        [f"torch {one}" for one in ("bfloat16", "float16")] if torch.cuda.is_available() and "torch" in engines else []
    )
    engines = (*engines, *halves)
    print(f"{'network':26}{'batch':>6}" + "".join(f"{engine:>14}" for engine in engines) + "   ratio to the first")
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            save(name, Path(scratch, name))
            encoders = {one: hub.load(str(Path(scratch, name)), *one.split()) for one in engines}
            pixels = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
            vectors = {one: encoder.encode(pixels) for one, encoder in encoders.items()}
            cosines = [f"{one} {min_cosine(vectors[engines[0]], vectors[one]):.5f}" for one in engines[1:]]
            print(f"{name}: least cosine to {engines[0]}: {', '.join(cosines)}")
            for batch in batches:
                pixels = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
                for encoder in encoders.values():
                    encoder.encode(pixels)
                rounds = [
                    {one: rate(encoder, pixels, seconds) for one, encoder in encoders.items()} for _ in range(ROUNDS)
                ]
                rates = {one: median(some[one] for some in rounds) for one in engines}
                ratios = "".join(f"{rates[one] / rates[engines[0]]:8.2f}" for one in engines[1:])
                print(f"{name:26}{batch:6}" + "".join(f"{rates[one]:14,.1f}" for one in engines) + ratios, flush=True)


if __name__ == "__main__":
    main()
