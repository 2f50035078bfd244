"""The two scripts of 2022: their command lines run unchanged, and the notebook of 2022 reads their files."""

import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from arrays import clustered
from conftest import ROOT

from similar_images.cli.script import command

SCRIPTS = ("extract_image_vectors.py", "build_search_db.py")


@pytest.fixture
def run_script(tmp_path):
    """Run a script of the project's root in `tmp_path`."""

    def run_script(script: str, *arguments: object) -> subprocess.CompletedProcess:
        words = [sys.executable, str(ROOT / script), *map(str, arguments)]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=1800)

    return run_script


def save_vgg16(file: Path):
    """Save VGG16 with random weights up to fc2, as in 2022, and return it."""
    from similar_images.networks.keras import import_keras

    keras = import_keras()
    keras.utils.set_random_seed(0)
    whole = keras.applications.VGG16(weights=None)
    model = keras.Model(whole.inputs, whole.get_layer("fc2").output)
    model.save(file)
    return model


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_the_script(script, run_script):
    assert run_script(script, "--help").stdout.startswith(f"Usage: {script} [OPTIONS]\n")


@pytest.mark.parametrize("script", SCRIPTS)
def test_missing_packages_are_reported_with_the_remedy(script):
    """Run the script in a Python without packages, from another folder."""
    words = [sys.executable, "-S", str(ROOT / script), "my photo.jpg"]
    done = subprocess.run(words, cwd="/", capture_output=True, text=True)
    python = ROOT / ".venv" / "bin" / "python"
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"Error: click is not installed for {sys.executable}: run ")
    assert f"{python} {ROOT / script} 'my photo.jpg' (or `source {python.parent}/activate` first)\n" in done.stderr
    assert ("`make install` in" in done.stderr) != python.exists()


def test_other_missing_modules_are_not_reported_as_packages():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'similar_images\.cli\.absent'"):
        command("absent")


def test_the_command_lines_of_2022_run_unchanged(photos, run, run_script, tmp_path):
    model = save_vgg16(tmp_path / "vgg_4096.h5")
    import keras

    (tmp_path / "list.txt").write_text("red/0.jpg\nblue/1.jpg\ngreen/2.jpg\n")
    command_line = "-l list.txt -o o.npy -m vgg_4096.h5 -d photos -b 2 -v"
    done = run_script("extract_image_vectors.py", *command_line.split())
    assert done.returncode == 0, done.stderr
    vectors = np.load(tmp_path / "o.npy")
    assert vectors.shape == (3, 4096) and vectors.dtype == np.float32
    for row, name in enumerate(("red/0.jpg", "blue/1.jpg", "green/2.jpg")):
        image = keras.utils.load_img(photos / name, target_size=(224, 224), interpolation="nearest")
        pixels = keras.applications.vgg16.preprocess_input(keras.utils.img_to_array(image)[None])
        expected = model.predict(pixels, verbose=0)[0]
        np.testing.assert_allclose(vectors[row], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    done = run_script("build_search_db.py", "-i", "o.npy", "-o", "o.faiss.index", "-d", "4096", "-v")
    assert done.returncode == 0, done.stderr
    found = run("search", "-i", "o.npy", "--index", "o.faiss.index", photos / "red" / "0.jpg", "-k", "2")
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""


def read_as_in_2022(folder: Path) -> np.ndarray:
    """Return the first hit of each image of a collection, as the notebook of 2022 found it: by Faiss alone."""
    vectors = np.load(folder / "o.npy")
    index = faiss.read_index(str(folder / "o.faiss.index"))
    faiss.normalize_L2(vectors)
    return index.search(vectors, 5)[1][:, 0]


def test_the_notebook_of_2022_reads_an_index_of_vgg16_vectors(run_script, tmp_path):
    np.save(tmp_path / "o.npy", np.maximum(clustered(256, 4096), 0))
    (tmp_path / "o.txt").write_text("".join(f"{row}.jpg\n" for row in range(256)))
    done = run_script("build_search_db.py", "-i", "o.npy", "-o", "o.faiss.index", "-d", "4096")
    assert done.returncode == 0 and "similarity whitened (32 numbers)" in done.stderr
    assert np.array_equal(read_as_in_2022(tmp_path), np.arange(256))


@pytest.mark.slow
def test_the_notebook_of_2022_finds_each_of_256_photos_by_vgg16(run_script, data, tmp_path):
    photos = sorted((data / "photos" / "coco").rglob("*.jpg"))[:256]
    assert len(photos) == 256
    save_vgg16(tmp_path / "vgg_4096.h5")
    (tmp_path / "list.txt").write_text("".join(f"{photo.relative_to(data)}\n" for photo in photos))
    done = run_script("extract_image_vectors.py", "-l", "list.txt", "-o", "o.npy", "-m", "vgg_4096.h5", "-d", data)
    assert done.returncode == 0, done.stderr
    done = run_script("build_search_db.py", "-i", "o.npy", "-o", "o.faiss.index", "-d", "4096")
    assert done.returncode == 0 and "similarity whitened (32 numbers)" in done.stderr, done.stderr
    assert np.array_equal(read_as_in_2022(tmp_path), np.arange(256))
