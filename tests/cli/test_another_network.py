"""The vectors of a folder, and then another network: one short line names both networks and the two remedies."""

from pathlib import Path

import pytest

from similar_images.inputs.sources import open_source
from similar_images.networks.catalog import NETWORKS, describe
from similar_images.vectors.manifest import Runtime
from similar_images.vectors.store import vectors_path
from similar_images.vectors.writer import Writer


@pytest.mark.parametrize(("made", "wanted"), [("hog-colour", "mobilenetv2"), ("mobilenetv2", "hog-colour")])
def test_it_is_refused_before_it_is_loaded(made, wanted, photos, tmp_path, run):
    names_file = tmp_path / "photos_file_list.txt"
    path, names = vectors_path(names_file), open_source(photos).find().names
    writer = Writer(path, names_file, names, photos)
    runtime = Runtime({"hog-colour": "scikit-image"}.get(made, "onnxruntime"), "float32", 8)
    writer.begin(describe(NETWORKS[made]), {}, runtime=runtime)
    writer.finish()
    done = run("extract", "-d", "photos", "--network", wanted)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {Path(path.name)} was made with {made}, not {wanted}: choose another -o, or use --overwrite\n"
    )
