"""Everything that the README of version 1.0 shows still works: its commands as written, and its Python."""

import builtins
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

OLD = (Path(__file__).parent / "readme_1_0.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in re.findall(r"^    ((?:\./|\.venv/bin/python )\S+\.py .*)$", OLD, re.M)]
PYTHON = re.findall(r"^```python\n(.*?)^```", OLD, re.M | re.S)
LIST, NPY, MANIFEST = (
    f"photos_file_list.txt{suffix}" for suffix in ("", ".saved_predictions.npy", ".saved_predictions.json")
)

ANSWER = {"trial": 1, "vote": "tie", "time": "2030-01-01T00:00:00Z"}


def commands(script: str, *words: str) -> list[str]:
    """Return the old README's commands of a script that hold all of the words."""
    found = [command for command in COMMANDS if script in command and all(word in command for word in words)]
    assert found, (script, words)
    return found


@pytest.fixture
def clone(tmp_path):
    """A folder as the README's reader has it: the scripts and .venv beside the images."""
    for script in ROOT.glob("*.py"):
        (tmp_path / script.name).symlink_to(script)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture
def shell(clone):
    """Run a command line in the clone."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def shell(command: str) -> subprocess.CompletedProcess:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=clone,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, (command, done.stderr)
        return done

    return shell


@pytest.fixture
def extracted(clone, photos, shell):
    """The README's collection, made with the network that needs no weights, and a query."""
    shutil.copy(photos / "red" / "0.jpg", clone / "holiday.jpg")
    command = commands("extract_image_vectors.py", "-d photos")[0]
    shell(command.replace("-m vgg_4096.h5", "--network hog-colour"))
    return clone


def test_the_old_commands_for_images(extracted, shell):
    for command in commands("build_search_db.py", f"-i {NPY}"):
        shell(command + (" --overwrite" if "--target-recall" in command else ""))
    assert "red/0.jpg" in shell(commands("search_images.py")[0]).stdout
    for name in ("reduced", "classic"):
        shell(f"./build_search_db.py -i {NPY} -o {name}.faiss.index --recipe flat")
    for network in ("vgg16", "mobilenetv2"):
        for suffix in (".npy", ".json"):
            shutil.copy(extracted / Path(NPY).with_suffix(suffix), extracted / f"photos_{network}{suffix}")
    rows = "".join(
        f"{path.parent.name}/{path.name},{path.parent.name}\n" for path in (extracted / "photos").rglob("*.jpg")
    )
    (extracted / "labels.csv").write_text("image,labels\n" + rows)
    for command in commands("evaluate_search.py"):
        shell(command)
    for command in commands("find_duplicates.py"):
        shell(command)
    assert (extracted / "report.html").is_file() and (extracted / "duplicates.html").is_file()


def test_the_old_commands_for_texts(clone, shell, data):
    shutil.copy(ROOT / "docs" / "reviews.csv", clone)
    for script in ("extract_text_vectors.py", "build_search_db.py", "search_texts.py"):
        command = commands(script, "reviews")[0]
        found = shell(command).stdout
    assert found
    (clone / "tweets").mkdir()
    for file in (ROOT / "tweets").glob("tweets_20000*"):
        shutil.copy(file, clone / "tweets")
    shutil.copy(data / "texts" / "tweets_20k.csv", clone / "tweets" / "texts_20k.csv")
    assert "traffic" in shell(commands("search_texts.py", "tweets")[0]).stdout


def test_the_old_python(extracted, shell, monkeypatch):
    shell(commands("build_search_db.py", f"-i {NPY}")[0])
    for suffix in (".npy", ".json"):
        shutil.copy(extracted / Path(NPY).with_suffix(suffix), extracted / f"photos_vgg16{suffix}")
    np.save(extracted / "photos_mobilenetv2.npy", np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32))
    shutil.copy(extracted / LIST, extracted / "photos_mobilenetv2.txt")
    monkeypatch.chdir(extracted)
    monkeypatch.setattr(builtins, "input", lambda question: "left")
    names: dict[str, object] = {}
    for block in PYTHON:
        before, answers, after = block.partition("import_answers(comparison")
        exec(before, names)
        if answers:
            page = {"format": "similar-images answers 1", "voter": "bob", "answers": [ANSWER]}
            page["questionnaire"] = json.loads(names["key"].read_text(encoding="utf-8"))["id"]
            Path("answers bob.json").write_text(json.dumps(page))
        exec(answers + after, names)
    assert [line.split(",")[1] for line in Path("votes.csv").read_text().splitlines()].count("bob") == 1


@pytest.mark.slow
def test_the_old_extraction_with_vgg16(clone, photos, shell):
    code = "import keras; keras.applications.VGG16(weights=None).save('vgg_4096.h5')"
    shell(f'KERAS_BACKEND=tensorflow .venv/bin/python -c "{code}"')
    shell(commands("extract_image_vectors.py", "-d photos")[0])
    shell(commands("build_search_db.py", f"-i {NPY}")[0])
    shutil.copy(photos / "red" / "0.jpg", clone / "holiday.jpg")
    assert "1.0000  red/0.jpg" in shell(commands("search_images.py")[0]).stdout
