"""No command and no notebook looks up a name, connects, or keeps an ID for telemetry."""

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from hub_networks import save
from PIL import Image
from random_networks import save_network
from traffic import recorded, traces

from similar_images.cli.main import COMMANDS
from similar_images.networks.catalog import NETWORKS

pytestmark = pytest.mark.slow  # every command, each watched by strace

PROGRAM = [sys.executable, "-m", "similar_images"]
OPENS_A_BROWSER = {"demo", "notebook"}  # the notebooks run below; demo is extract, build and notebook
TEXTS = ["a dog runs", "two dogs run", "a cat sleeps", "stuck in traffic", "cars wait in line", "rain all day"]
VECTORS = "sample_file_list.txt.saved_predictions.npy"
IMAGE_COMMANDS = (
    ("extract", "-d", "sample", "--network", "mobilenetv2", "-m", "m.keras"),
    ("extract", "-d", "sample", "--network", "mobilenetv2", "-m", "m.keras", "-o", "o.npy", "--engine", "openvino"),
    ("extract", "-d", "sample", "-o", "lite.npy"),
    ("build", "-i", VECTORS),
    ("search", "-i", VECTORS, "sample/red/0.jpg"),
    ("search", "-i", VECTORS, "new.jpg"),
    ("build", "-i", VECTORS, "--milvus"),
    ("search", "-i", VECTORS, "--index", "sample_file_list.milvus.json", "sample/red/0.jpg", "--where", "folder=red"),
    ("evaluate", VECTORS, "--report", "report.html"),
    ("evaluate", "--networks", "efficientnetlite0,hog-colour", "sample", "--alterations", "2"),
    ("duplicates", VECTORS),
    ("export", VECTORS, "-o", "table.csv", "--exif"),
    ("map", VECTORS),
    ("clusters", VECTORS, "--html", "clusters.html"),
)
HUB_COMMANDS = (  # the network is exported by the first, with transformers and PyTorch
    ("extract", "-d", "sample", "-o", "clip.npy", "--network", "clip"),
    ("extract", "-d", "sample", "-o", "torch.npy", "--network", "clip", "--engine", "torch"),
    ("search", "-i", "clip.npy", "new.jpg"),
)
TEXT_COMMANDS = (
    ("extract-texts", "docstrings.csv"),
    ("build", "-i", "docstrings_list.txt.saved_predictions.npy"),
    ("search-texts", "-i", "docstrings_list.txt", "a hound"),
)
RUN_NOTEBOOK = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells.append(nbformat.v4.new_code_cell(sys.argv[2]))
NotebookClient(notebook, timeout=300, allow_errors=True).execute()
print(notebook.cells[-1].outputs)
sys.exit(any(output.output_type == "error" for output in notebook.cells[-1].outputs))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A folder with pictures and a network of random weights."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for kind in ("red", "green"):
        (folder / "sample" / kind).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 256, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "sample" / kind / f"{number}.jpg")
    Image.fromarray(pixels[::-1]).save(folder / "new.jpg")
    save_network(NETWORKS["mobilenetv2"], folder).rename(folder / "m.keras")
    return folder


@pytest.fixture(scope="module")
def image_traffic(images, home) -> list[tuple]:
    return run_all(IMAGE_COMMANDS, images, home)


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    pytest.importorskip("sentence_transformers", reason="texts are not installed: make install-text")
    folder = tmp_path_factory.mktemp("texts")
    (folder / "docstrings.csv").write_text("\n".join(["text", *TEXTS]))
    return folder


@pytest.fixture(scope="module")
def text_traffic(texts, home) -> list[tuple]:
    return run_all(TEXT_COMMANDS, texts, home)


def run_all(commands: tuple[tuple[str, ...], ...], folder: Path, home: Path) -> list[tuple]:
    """Return each command with its network traffic and the telemetry files it wrote."""
    return [(command, recorded([*PROGRAM, *command], folder, home), traces(home)) for command in commands]


def test_recorder_sees_a_look_up(tmp_path):
    code = "import socket\ntry: socket.getaddrinfo('name.invalid', 443)\nexcept OSError: pass"
    assert recorded([sys.executable, "-c", code], tmp_path, tmp_path)


def test_recorder_sees_the_telemetry_of_libraries(tmp_path):
    assert recorded([sys.executable, "-c", "import openvino"], tmp_path, tmp_path)
    recorded([sys.executable, "-c", "import onnxruntime"], tmp_path, tmp_path)
    found = " ".join(traces(tmp_path))
    assert "intel/" in found and ".onnxruntime/" in found


def test_every_command_is_recorded():
    assert {command[0] for command in IMAGE_COMMANDS + TEXT_COMMANDS} == set(COMMANDS) - OPENS_A_BROWSER


def test_commands_on_images(image_traffic, images):
    assert image_traffic == [(command, [], []) for command in IMAGE_COMMANDS]
    assert (images / "m.keras.onnx").is_file()


def test_commands_with_a_network_of_the_hub(images, home):
    save("clip", images / "clip")
    assert run_all(HUB_COMMANDS, images, home) == [(command, [], []) for command in HUB_COMMANDS]
    assert list(home.glob(".cache/similar-images/clip-*/images.onnx"))


def test_commands_on_texts(text_traffic, home):
    assert text_traffic == [(command, [], []) for command in TEXT_COMMANDS]
    assert list(home.glob(".cache/similar-images/*/model.xml"))


def test_notebook_of_images(image_traffic, images, home):
    cell = "collection.nearest('new.jpg'), collection.encoder.loaded.engine.name == 'onnxruntime' or 1 / 0"
    command = [sys.executable, "-c", RUN_NOTEBOOK, str(ROOT / "Similar image.ipynb"), cell]
    assert (recorded(command, images, home), traces(home)) == ([], [])


def test_notebook_of_texts(text_traffic, texts, home):
    command = [sys.executable, "-c", RUN_NOTEBOOK, str(ROOT / "Text_similarity.ipynb"), "collection.nearest('a hound')"]
    assert (recorded(command, texts, home), traces(home)) == ([], [])
