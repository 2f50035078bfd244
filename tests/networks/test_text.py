import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hub_networks import edit

pytest.importorskip("sentence_transformers", reason="texts are not installed: make install-text")

from similar_images.evaluation import sts
from similar_images.networks import text as text_networks
from similar_images.networks import text_openvino
from similar_images.networks.catalog import NetworkUnavailable
from similar_images.networks.text import DEFAULT, load_text_network, split_batches
from similar_images.networks.text_openvino import TextExport

TEXTS = ["a cat", "", "two dogs run after each other", "שלום 😀", "word " * 1000, "a cat sits"]


@pytest.fixture(scope="module")
def minilm():
    return load_text_network(engine="torch")


@pytest.fixture(scope="module")
def openvino():
    return load_text_network(engine="openvino")


@pytest.fixture
def copied(tmp_path):
    """A writable copy of MiniLM's folder."""
    return Path(shutil.copytree(text_networks._folder(DEFAULT), tmp_path / "copied"))


def test_vectors_equal_the_library_in_the_order_of_the_texts(minilm):
    expected = minilm.engine.model.encode(TEXTS)
    np.testing.assert_allclose(minilm.encode(TEXTS), expected, atol=1e-5)
    assert minilm.encode(TEXTS).shape == (6, 384)
    np.testing.assert_allclose(minilm.encode_text(TEXTS[2]), expected[2], atol=1e-5)


def test_openvino_equals_pytorch(minilm, openvino):
    np.testing.assert_allclose(openvino.encode(TEXTS), minilm.encode(TEXTS), atol=1e-4)
    assert openvino.description == minilm.description


def test_threads_encode_at_once(openvino):
    expected = [openvino.encode_text(text) for text in TEXTS]
    with ThreadPoolExecutor(8) as threads:
        for text, vector in zip(TEXTS * 10, threads.map(openvino.encode_text, TEXTS * 10), strict=True):
            np.testing.assert_allclose(vector, expected[TEXTS.index(text)], atol=1e-5)


def test_export_is_reused(copied, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = []
    export = text_openvino._export
    monkeypatch.setattr(text_openvino, "_export", lambda *given: made.append(given) or export(*given))
    expected = load_text_network(str(copied)).encode_text("a cat")
    np.testing.assert_array_equal(load_text_network(str(copied)).encode_text("a cat"), expected)
    assert len(made) == 1
    edit(copied / "sentence_bert_config.json", max_seq_length=64)
    assert load_text_network(str(copied)).tokens == 64  # another network with the same weights
    assert len(made) == 2 and len(list((tmp_path / "cache" / "similar-images").iterdir())) == 2


@pytest.fixture
def export(openvino, tmp_path) -> TextExport:
    """A copy of the default's export."""
    found = text_openvino.find_or_create_export(text_networks._folder(DEFAULT), DEFAULT)
    return found._replace(folder=Path(shutil.copytree(found.folder, tmp_path / "export")))


@pytest.mark.parametrize(
    "damage",
    [
        {"tokens": "256"},
        {"prompt": None},
        {"expected": [["a"], ["b"]]},
        {"expected": [[1.0, 2.0], [1.0]]},
        {"expected": []},
        {"sha256": []},
    ],
    ids=str,
)
def test_export_with_damaged_manifest_is_ignored(export, damage):
    assert text_openvino._find_export(export.folder, export.manifest.source) is not None
    edit(export.folder / "manifest.json", **damage)
    assert text_openvino._find_export(export.folder, export.manifest.source) is None


@pytest.mark.parametrize("change", [lambda content: content[:-100], lambda content: b"x" + content[1:]])
def test_damaged_export_is_ignored(export, change):
    weights = export.folder / "model.bin"
    weights.write_bytes(change(weights.read_bytes()))
    assert text_openvino._find_export(export.folder, export.manifest.source) is None


def test_file_at_the_path_of_the_export_is_replaced(copied, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = tmp_path / "cache" / "similar-images"
    cache.mkdir(parents=True)
    folder = cache / f"copied-{text_openvino._digest_files(copied)[:16]}"
    folder.write_text("no folder")
    assert load_text_network(str(copied), engine="openvino").engine.name == "openvino"
    assert list(cache.iterdir()) == [folder] and folder.is_dir()


def test_pytorch_is_used_if_the_export_cannot_be_written(copied, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_text_network(str(copied)).engine.name == "torch"
    with pytest.raises(NotADirectoryError):
        load_text_network(str(copied), engine="openvino")


def test_lengths_count_all_tokens(minilm):
    lengths = minilm.lengths(TEXTS)
    assert (lengths[0], lengths[1], lengths[4], minilm.tokens) == (4, 2, 1002, 256)


def test_batches_hold_texts_of_similar_length():
    lengths = np.random.default_rng(0).integers(2, 257, 500)
    found = list(split_batches(lengths, 512))
    assert sorted(row for batch in found for row in batch) == list(range(500))
    assert all(len(batch) * lengths[batch].max() <= 512 for batch in found)
    assert [lengths[batch].max() for batch in found] == sorted(lengths[batch].max() for batch in found)
    assert list(split_batches(np.array([1000]), 512)) == [[0]]
    assert list(split_batches(np.array([], dtype=int))) == []


def test_similarities_agree_with_human_judgement(data, openvino):
    found = sts.agreement(openvino, sts.read_pairs(data / "texts" / "stsb_dev.tsv"))
    assert found.pairs == 1500
    assert found.spearman >= 0.865
    assert found.pearson >= 0.865


def test_half_precision_hardly_lowers_the_agreement(data):
    try:
        encoder = load_text_network(engine="openvino", precision="bfloat16")
    except ValueError as error:
        pytest.skip(str(error))
    assert sts.agreement(encoder, sts.read_pairs(data / "texts" / "stsb_dev.tsv")).spearman >= 0.8672 - 0.002


@pytest.mark.parametrize(
    "content, said",
    [
        ("a\tb\n", "line 1: expected a score and two sentences in fields 5 to 7"),
        ("g\tf\ty\t1\tbest\tone\ttwo\n", "could not convert string to float"),
        ("g\tf\ty\t1\t5\tone\ttwo\n", "expected at least two pairs"),
        (b"\xff", "is not a file of the STS benchmark"),
    ],
)
def test_foreign_file_is_refused_as_benchmark(tmp_path, content, said):
    file = tmp_path / "sts.tsv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=said):
        sts.read_pairs(file)


def test_description_names_the_folder(copied, minilm):
    other = load_text_network(str(copied), engine="torch")
    assert other.description == replace(minilm.description, name="copied")
    np.testing.assert_allclose(other.encode(["a cat"]), minilm.encode(["a cat"]), atol=1e-6)


def test_altered_default_weights_are_refused(copied, monkeypatch):
    with (copied / "model.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\0\0")
    monkeypatch.setattr(text_networks, "_folder", lambda name: copied)
    with pytest.raises(ValueError, match=r"model\.safetensors was altered: expected the SHA-256 53aa5117.*install it"):
        load_text_network()


def test_pickled_weights_are_refused(copied):
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin may contain code and is not read: save the network as"):
        load_text_network(str(copied))


def test_network_with_code_is_refused(copied):
    modules = json.loads((copied / "modules.json").read_text())
    modules[1]["type"] = "evil.Pooling"
    (copied / "modules.json").write_text(json.dumps(modules))
    (copied / "evil.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(ValueError, match=r"contains code of its own, evil\.Pooling, which never runs"):
        load_text_network(str(copied))


@pytest.mark.parametrize(
    "removed, said",
    [
        ("modules.json", "is not a network of sentence-transformers"),
        ("model.safetensors", "has no weights: expected"),
        ("config.json", "cannot be loaded as a network"),
    ],
)
def test_incomplete_folder_is_refused(copied, removed, said):
    (copied / removed).unlink()
    with pytest.raises(ValueError, match=said):
        load_text_network(str(copied))


def test_truncated_weights_are_refused(copied):
    file = copied / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_text_network(str(copied))


def test_failed_download_names_the_alternative(run, tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    done = run("extract-texts", "a.txt", "--network", "nobody/nothing", env=offline(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: nobody/nothing is not a folder here and cannot be downloaded from the hub")
    assert done.stderr.endswith("and use --network FOLDER\n") and done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt"]


def offline(home) -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home.parent / "hub")}


def test_missing_package_is_reported_with_its_command(monkeypatch):
    monkeypatch.setattr(text_networks, "PACKAGE", "no_such_package")
    with pytest.raises(NetworkUnavailable, match="run `make install-text`"):
        load_text_network()


def test_half_precision_of_pytorch_is_refused():
    with pytest.raises(ValueError, match="for bfloat16 use --engine openvino"):
        load_text_network(engine="torch", precision="bfloat16")
