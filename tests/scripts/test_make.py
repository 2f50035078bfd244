"""The Makefile: using the notebooks leaves the repository unchanged."""

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

JUPYTER = """#!/bin/sh
for option in "$@"; do case $option in *default_url=*) printf changed >> "${option##*/}" ;; esac; done
touch votes.csv sample_file_list.faiss.index.map.npz sample_file_list.faiss.index.clusters.npz
"""


@pytest.fixture
def clone(tmp_path) -> Path:
    """A repository with the notebooks, and a `jupyter` that changes the notebook that it opens."""
    for file in ("Makefile", ".gitignore", "Similar image.ipynb", "Text_similarity.ipynb"):
        shutil.copy(ROOT / file, tmp_path)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "--quiet", "-m", "all")
    jupyter = tmp_path / ".venv" / "bin" / "jupyter"
    jupyter.parent.mkdir(parents=True)
    jupyter.write_text(JUPYTER)
    jupyter.chmod(0o755)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("target", "index", "copy", "original"),
    [
        ("demo", "sample_file_list.faiss.index", "sample_images.ipynb", "Similar image.ipynb"),
        ("demo-text", "docstrings_list.faiss.index", "sample_texts.ipynb", "Text_similarity.ipynb"),
    ],
)
def test_a_changed_notebook_leaves_git_status_clean_and_is_kept(target, index, copy, original, clone):
    (clone / index).touch()
    for _ in range(2):
        done = subprocess.run(["make", "-o", index, target], cwd=clone, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert git(clone, "status", "--porcelain") == ""
    assert (clone / copy).read_text() == (ROOT / original).read_text() + "changedchanged"


@pytest.mark.parametrize(
    "file",
    [
        "p_file_list.txt.saved_predictions.skipped.csv",
        "p_file_list.exif.npz",
        "p_file_list.faiss.index.0123abcd.part",
        ".p_file_list.faiss.index.unfinished/state.json",
        "p_file_list.milvus.json",
        ".p_file_list.milvus.json.loading",
        "p_file_list.milvus.db/data",
    ],
)
def test_generated_files_leave_git_status_clean(file, clone):
    (clone / file).parent.mkdir(exist_ok=True)
    (clone / file).touch()
    assert git(clone, "status", "--porcelain") == ""


def test_help_lists_every_target():
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY"))
    assert [line.split()[0] for line in listed.splitlines()] != []
    assert {line.split()[0] for line in listed.splitlines()} == set(phony.split()[1:])
