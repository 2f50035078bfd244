"""An output never replaces an input, or a file of the collection, not even with --overwrite."""

import shutil

import numpy as np
import pytest
from collection_files import save_vectors
from commands import one_line
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """A folder and an archive of two pictures, a list and vectors of them, labels, and a table of texts."""
    (tmp_path / "photos").mkdir()
    for name, colour in (("a.jpg", "red"), ("b.jpg", "blue")):
        Image.new("RGB", (20, 20), colour).save(tmp_path / "photos" / name)
    shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path / "photos")
    (tmp_path / "labels.csv").write_text("image,labels\na.jpg,red\nb.jpg,blue\n")
    (tmp_path / "texts.csv").write_text("text\none\n")
    for file in ("v.npy", "list.txt.saved_predictions.npy"):
        save_vectors(tmp_path / file, np.ones((2, 8), np.float32), ["a.jpg", "b.jpg"])
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "extract -l list.txt -d photos --network hog-colour -o list.txt --overwrite",
        "extract -d photos --network hog-colour -o list.txt --overwrite",
        "extract -d photos.zip --network hog-colour -o photos.zip --overwrite",
        "extract-texts texts.csv -o texts.csv --overwrite",
        "build -i v.npy -o v.npy --overwrite",
        "build -i v.npy -o v.txt --overwrite",
        "build -i list.txt -o list.txt.saved_predictions.npy --overwrite",
        "build -i v.npy -o ../{folder}/v.npy --overwrite",
        "build -i v.npy --labels labels.csv -o labels.csv --overwrite",
        "build -i v.npy --remove labels.csv -o labels.csv",
        "evaluate v.npy --labels labels.csv --report labels.csv --overwrite",
        "evaluate v.npy --index labels.csv --report labels.csv --overwrite",
        "clusters v.npy --csv v.npy --overwrite",
        "duplicates v.npy --csv v.npy --overwrite",
        "export v.txt -o v.txt --overwrite",
        "map v.npy --csv v.npy --overwrite",
        "notebook v.txt -o v.txt",
    ],
)
def test_an_output_that_is_an_input_is_refused(run, folder, command):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    message = one_line(run(*command.format(folder=folder.name).split()))
    assert "choose another" in message
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
