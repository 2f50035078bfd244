"""Each benchmark runs from a clean clone, with the default network, at its smallest size."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from arrays import clustered
from browser import chromium_path
from conftest import ROOT

from similar_images.inputs.names import write_names
from similar_images.samples.pictures import paint

FEW = ("--count", "500")
ARGUMENTS = {  # of each script; v.npy contains vectors, sample and others a folder per kind
    "clusters": ("sample",),
    "colour_profiles": ("sample",),
    "codes": ("v.npy", "--count", "2000"),
    "demo": ("sample", "--photo", "sample/apple/apple-0.jpg", "--rounds", "1"),
    "exact_search": ("v.npy", "--count", "2000", "--rounds", "1"),
    "extraction": ("sample", "--count", "40", "--rounds", "1"),
    "feedback": ("v.npy",),
    "filters": ("v.npy", "--count", "2000"),
    "gallery": (*FEW, "--queries", "3", "--scrolls", "2"),
    "hub": ("--network", "dinov2-small", "--batch", "1", "--seconds", "0.1"),
    "jpeg_scale": ("sample", "--count", "10"),
    "map": ("sample",),
    "map_widget": FEW,
    "milvus": ("v.npy", "--count", "1000"),
    "near_duplicates": ("sample", "others"),
    "networks": ("sample", "efficientnetlite0", "--rounds", "1"),
    "parts": ("v.npy", "--count", "3000", "--part-size", "1000"),
    "photo_formats": ("sample", "--count", "4", "--rounds", "1"),
    "ray_extraction": ("sample", "--images", "64", "--times", "1"),
    "resampling": ("sample",),
    "search_growth": ("v.npy", "--count", "2000"),
    "search_quality": ("v.npy",),
    "similarity": ("sample",),
    "texts": ("texts.csv", "--count", "100", "--repeats", "1"),
    "update": ("--count", "200", "--rounds", "1"),
    "why": ("flat", "--count", "2", "--way", "cosine"),
    "words": ("sample", "others"),
}
IN_BROWSER = {"demo", "gallery", "map_widget"}
NEEDS = {
    "hub": "onnxscript",
    "map": "openTSNE",
    "milvus": "pymilvus",
    "photo_formats": "pillow_heif",
    "ray_extraction": "ray",
    "words": "torchvision",
}
KINDS, OTHERS = ("apple", "butterfly", "panda", "pizza"), ("pyramid", "starfish", "watch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    for name, kinds, count in (("sample", KINDS, 15), ("others", OTHERS, 8), ("flat", KINDS, 2)):
        for kind in kinds:
            place = folder / name / (kind if name != "flat" else "")
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                paint(kind, number).save(place / f"{kind}-{number}.jpg")
    np.save(folder / "v.npy", clustered(3000, 1280))
    write_names(folder / "v.txt", [f"{row % 20}/{row}.jpg" for row in range(3000)])
    (folder / "texts.csv").write_text("text\n" + "".join(f"sentence {n} of cats and trains\n" for n in range(120)))
    return folder


def test_every_benchmark_is_tested():
    assert ARGUMENTS.keys() == {file.stem for file in (ROOT / "benchmarks").glob("*.py")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARGUMENTS)
def test_benchmark_runs(name, folder):
    if name in IN_BROWSER and chromium_path() is None:
        pytest.skip("no chromium or google-chrome is installed")
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *ARGUMENTS[name]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() and "nan" not in done.stdout
