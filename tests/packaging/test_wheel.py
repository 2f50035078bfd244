"""Wheel in an empty environment, used from another folder."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from photo_files import dng, heic, jpeg_xl
from PIL import Image

MAX_MEGABYTES = 700  # of the environment without extras
EXAMPLES = {  # public names that need no extra
    "BlindTest",
    "Collection",
    "Comparison",
    "Gallery",
    "Hit",
    "Query",
    "TextCollection",
    "TextGallery",
    "SearchConfig",
}
HEAVY = (
    "tensorflow",
    "keras",
    "torch",
    "openvino",
    "matplotlib",
    "notebook",
    "voila",
    "transformers",
    "onnxscript",
    "sentencepiece",
    "pandas",
    "pyarrow",
)

GALLERY = """
from similar_images import Collection, Gallery
gallery = Gallery(Collection.open("photos_file_list.txt"))
gallery.wait()
assert len(gallery.shown["hits"]) == 8, gallery.status
print(gallery.status["text"])
"""

SAVE_KERAS = """
from similar_images.networks.keras import import_keras
networks = import_keras().applications.mobilenet_v2
networks.MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)).save("m.h5")
"""
SAVE_HUB = """
from pathlib import Path
from transformers import ViTConfig, ViTModel
small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
ViTModel(ViTConfig(**small, image_size=32, patch_size=16)).save_pretrained("vit")
Path("vit/preprocessor_config.json").write_text('{"image_processor_type": "ViTImageProcessor", "size": 32}')
"""
COPY_NOTEBOOK = """
from pathlib import Path
import voila
from similar_images.cli.notebook import write_copy
write_copy(Path("photos_file_list.txt"), Path("photos.ipynb"))
"""
TABLE = """
from similar_images import Collection
collection = Collection.open("photos_file_list.txt")
assert collection.to_pandas().name.tolist() == collection.names
"""
LIST, VECTORS = "photos_file_list.txt", "photos_file_list.txt.saved_predictions.npy"
USES = {  # of each extra, after `extract` and `build`: code, or arguments of the command
    "cluster": (
        ("extract", "-d", "photos", "-o", "ray.npy", "--ray", "--workers", "1"),
        ("build", "-i", VECTORS, "--milvus"),
    ),
    "evaluate": (("evaluate", LIST, "-k", "2", "--report", "report.html"),),
    "hub": (SAVE_HUB, ("extract", "-d", "photos", "-o", "vit.npy", "--network", "vit")),
    "jxl": (("extract", "-d", "jxl"),),
    "keras": (SAVE_KERAS, ("extract", "-d", "photos", "-o", "m.npy", "--network", "mobilenetv2", "-m", "m.h5")),
    "lite2": (("extract", "-d", "photos", "-o", "lite2.npy", "--network", "efficientnetlite2"),),
    "map": (("map", LIST), ("clusters", LIST, "--html", "clusters.html")),
    "notebook": (
        COPY_NOTEBOOK,
        "import sys; from nbconvert.nbconvertapp import main; sys.argv[1:] = ['--execute', '--to=notebook', "
        "'--output=done', 'photos.ipynb']; main()",
    ),
    "openvino": (("extract", "-d", "photos", "-o", "openvino.npy", "--engine", "openvino"),),
    "raw": (("extract", "-d", "dng"),),
    "table": (TABLE, ("export", LIST, "-o", "photos.parquet", "--vectors")),
    "text": (("extract-texts", "notes.txt"), ("search-texts", "-i", "notes.txt", "train")),
}

pytestmark = pytest.mark.slow


def call(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    arguments = list(map(str, command))
    return subprocess.run(arguments, cwd=cwd, env={**own, **environment}, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps")
    done = call(*pip, "--wheel-dir", folder, ROOT, cwd=folder)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path | str, folder: Path, *options: object, base: Path | None = None) -> Path:
    """Install the wheel and its requirements into a new environment; return its folder of commands.

    Packages in the environment with the commands `base` are used from there, so only further ones are installed.
    """
    assert call(sys.executable, "-m", "venv", folder, cwd=folder.parent).returncode == 0
    if base is not None:
        (own,), (shared,) = (place.glob("lib/python*/site-packages") for place in (folder, base.parent))
        (own / "base.pth").write_text(f"{shared}\n")
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    done = call(*pip, *options, wheel, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """Environment with the newest versions on the package index."""
    return install(wheel, tmp_path_factory.mktemp("environment") / "venv")


@pytest.fixture(scope="module")
def lowest(wheel, tmp_path_factory) -> Path:
    """Environment with the lowest versions in pyproject.toml."""
    return install_lowest(wheel, tmp_path_factory.mktemp("lowest"))


def install_lowest(wheel: Path, folder: Path, *extras: str, base: Path | None = None) -> Path:
    """Install the wheel, with extras, and the lowest versions of its requirements, as `install` does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = project["optional-dependencies"]
    required = [*project["dependencies"], *(one for extra in extras for one in known[extra])]
    inside = [part for one in required if one.startswith("similar-images[") for part in known[one[15:-1]]]
    lowest = [
        re.sub(r"\[.*\]", "", one).replace(">=", "==") for one in (*required, *inside) if "similar-images" not in one
    ]
    (folder / "constraints.txt").write_text("\n".join(lowest))
    wanted = f"{wheel}[{','.join(extras)}]" if extras else wheel
    return install(wanted, folder / "venv", "--constraint", folder / "constraints.txt", base=base)


def test_wheel_contains_package_and_notebooks(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = call("git", "ls-files", "similar_images", cwd=ROOT).stdout.splitlines()
    assert tracked and set(tracked) <= packed
    assert {name.rpartition(".")[2] for name in packed} >= {"py", "js", "css", "html", "typed", "ipynb", "j2"}
    assert "similar_images/notebooks/Similar image.ipynb" in packed
    assert "similar_images/notebooks/Text_similarity.ipynb" in packed


def test_base_environment_is_small_without_heavy_packages(environment):
    size = sum(path.lstat().st_size for path in environment.parent.rglob("*") if path.is_file())
    assert size < MAX_MEGABYTES * 1e6
    listed = call(environment / "python", "-m", "pip", "list", "--format=freeze", cwd=environment).stdout.lower()
    assert [name for name in HEAVY if f"\n{name}==" in f"\n{listed}"] == []


@pytest.mark.parametrize("versions", ["environment", "lowest"])
def test_extract_build_and_search_in_another_folder(versions, photos, tmp_path, request):
    command = request.getfixturevalue(versions) / "similar-images"
    with Image.open(photos / "red" / "0.jpg") as image:
        (photos / "red" / "phone.heic").write_bytes(heic(image))
    for arguments in (
        ("extract", "-d", photos),
        ("build", "-i", "photos_file_list.txt.saved_predictions.npy"),
    ):
        done = call(command, *arguments, cwd=tmp_path)
        assert done.returncode == 0 and " 1 skipped" not in done.stderr, done.stderr
    done = call(command, "search", "-k", "3", "red/0.jpg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1].split("/")[0] for line in done.stdout.splitlines()] == ["red"] * 3
    done = call(command, "duplicates", "photos_file_list.txt", "--threshold", "0.999", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = call(command.with_name("python"), "-c", GALLERY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "efficientnetlite0" in done.stdout


def write_photographs(folder: Path) -> None:
    """Write a photograph of each format that needs an extra, in a folder of its own."""
    image = Image.linear_gradient("L").convert("RGB")
    for suffix, content in {"dng": dng(image), "jxl": jpeg_xl(image)}.items():
        (folder / suffix).mkdir()
        (folder / suffix / f"a.{suffix}").write_bytes(content)


def test_every_extra_has_a_use():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    assert USES.keys() == extras - {"all"}


@pytest.mark.parametrize("extra", USES)
def test_extra_works_with_its_lowest_versions(extra, wheel, lowest, photos, tmp_path):
    python = install_lowest(wheel, tmp_path, extra, base=lowest) / "python"
    (tmp_path / "notes.txt").write_text("The train was late\nA cat on the keyboard\n")
    write_photographs(tmp_path)
    for use in (("extract", "-d", "photos"), ("build", "-i", VECTORS), *USES[extra]):
        command = ("-c", use) if isinstance(use, str) else ("-m", "similar_images", *use)
        done = call(python, *command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("versions", ["environment", "lowest"])
def test_extract_from_compressed_archive(versions, photos, tmp_path, request):
    shutil.make_archive(str(tmp_path / "photos"), "gztar", photos)
    command = request.getfixturevalue(versions) / "similar-images"
    done = call(command, "extract", "-d", "photos.tar.gz", "--network", "hog-colour", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 of 12 images" in done.stderr


@pytest.mark.parametrize("versions", ["environment", "lowest"])
def test_public_names_import_without_extras(versions, tmp_path, request):
    environment = request.getfixturevalue(versions)
    code = "import similar_images as s; [getattr(s, name) for name in s.__all__]; print(*s.__all__)"
    done = call(environment / "python", "-W", "error", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) >= EXAMPLES


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("extract", "-d", "photos", "--list", "new.txt"), "keras"),
        (("extract", "-d", "photos", "-o", "vit.npy", "--network", "vit"), "hub"),
        (("extract-texts", "notes.txt"), "text"),
        (("notebook", "photos_file_list.txt"), "notebook"),
        (("evaluate", "photos_file_list.txt", "-k", "2", "--report", "report.html"), "evaluate"),
    ],
)
def test_missing_extra_is_named_in_one_line(arguments, extra, environment, photos, tmp_path):
    (tmp_path / "notes.txt").write_text("A note\nAnother note\n")
    (tmp_path / "new.txt").write_text("red/0.jpg\n")
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "vit" / "preprocessor_config.json").write_text('{"image_processor_type": "ViTImageProcessor"}')
    (tmp_path / "vit" / "model.safetensors").write_bytes(b"")
    command = environment / "similar-images"
    assert call(command, "extract", "-d", photos, cwd=tmp_path).returncode == 0
    done = call(command, *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert f"pip install 'similar-images[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr and done.stderr.splitlines()[-1].startswith("Error: ")
