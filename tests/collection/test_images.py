import io
import json
from dataclasses import replace

import numpy as np
import pytest
from arrays import clustered
from collection_files import save_indexed, save_vectors
from PIL import Image

from similar_images import Collection
from similar_images.collection.encoder import Query
from similar_images.collection.searcher import SAME
from similar_images.evaluation.evaluation import precision
from similar_images.evaluation.labels import folder_labels
from similar_images.index.builder import BuildRequest, build
from similar_images.index.exact import normalise
from similar_images.index.index import open_index
from similar_images.index.quality import recall
from similar_images.index.similarity import fit
from similar_images.inputs.sources import open_source
from similar_images.networks import keras as keras_networks
from similar_images.networks.catalog import NETWORKS, describe
from similar_images.networks.loader import load
from similar_images.vectors.store import open_vectors


@pytest.fixture
def stored(tmp_path):
    """Save vectors and a list as another tool would, build an index, open the collection."""

    def store(array: np.ndarray, recipe: str | None = "flat", **options: object) -> Collection:
        path, array = tmp_path / "v.npy", np.asarray(array, np.float32)
        path = save_indexed(path, array, recipe=recipe) if recipe else save_vectors(path, array)
        return Collection.open(path, **options)

    return store


@pytest.fixture
def photo_collection(photos, tmp_path) -> Collection:
    return Collection.create(photos, tmp_path, "hog-colour")


COMPASS = [[1, 0], [0.8, 0.6], [0, 1], [-1, 0]]


@pytest.mark.parametrize("recipe", ["flat", None])
def test_hits_are_sorted_by_cosine_and_named_by_their_line(stored, recipe):
    collection = stored(COMPASS, recipe)
    assert [hit[:3] for hit in collection.nearest(np.array([2.0, 0.0]), k=3)] == [
        (0, "0.jpg", pytest.approx(1)),
        (1, "1.jpg", pytest.approx(0.8)),
        (2, "2.jpg", pytest.approx(0)),
    ]


def test_a_row_is_left_out_of_its_own_hits(stored):
    assert [hit.row for hit in stored(COMPASS).nearest(1, k=2)] == [0, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("similarity", ["cosine", "centred", "whitened"])
@pytest.mark.parametrize("recipe", ["flat", "reduced", "codes alone", "none"])
def test_identical_vectors_are_always_the_same_image(tmp_path, recipe, similarity, dtype):
    array = np.tile(clustered(400, 64), (2, 1)).astype(dtype)
    vectors, path = open_vectors(save_vectors(tmp_path / "v.npy", array)), tmp_path / "v.faiss.index"
    if recipe == "none":
        collection = Collection(vectors).with_similarity(similarity)
    else:
        build(vectors, path, BuildRequest("IVF10,SQ4" if recipe == "codes alone" else recipe, similarity=similarity))
        index = open_index(path)
        if recipe == "codes alone":  # a build for a target may choose to re-rank none
            alone = replace(index.manifest.parameters, reranked=0)
            index = index._replace(manifest=replace(index.manifest, parameters=alone))
        collection = Collection(vectors, index)
    for row in range(0, 400, 4):
        for where in (None, list(range(800))):
            hits, exact = collection.nearest(row, 5, where=where), collection.nearest(row, 5, exact=True, where=where)
            assert hits[0].row == exact[0].row == row + 400
            assert hits[0].similarity >= SAME and exact[0].similarity >= SAME
            assert not collection.is_like_nothing(hits, where) and not collection.is_like_nothing(exact, where)
            known = {hit.row: hit.similarity for hit in exact}
            assert all(abs(known[hit.row] - hit.similarity) < 1e-3 for hit in hits if hit.row in known)
        assert collection.compare(row, [row + 400])[0].similarity >= SAME


def test_k_larger_than_the_collection_gives_all(stored):
    assert len(stored(COMPASS).nearest(np.array([1.0, 0.0]), k=200)) == 4
    assert len(stored(COMPASS).nearest(0, k=200)) == 3


def test_skipped_images_are_never_hits_and_no_query(stored):
    collection = stored([[1, 0], [0, 0], [-1, 0]], None)
    assert [hit.row for hit in collection.nearest(np.array([1.0, 0.0]))] == [0, 2]
    with pytest.raises(ValueError, match=r"1\.jpg has no vector, it was skipped"):
        collection.nearest(1)


def test_an_approximate_index_is_re_ranked_with_the_exact_vectors(stored):
    random = np.random.default_rng(0)
    array = random.normal(size=(6000, 12)) @ random.normal(size=(12, 64)) + 0.3 * random.normal(size=(6000, 64))
    collection = stored(array, "reduced")
    assert collection.recipe == "reduced"
    exact = [[hit.row for hit in collection.nearest(row, 10, exact=True)] for row in range(100)]
    hits = [collection.nearest(row, 10) for row in range(100)]
    assert recall(np.array([[hit.row for hit in found] for found in hits]), np.array(exact)).mean() >= 0.97
    unit = normalise(array)
    assert hits[5][3].similarity == pytest.approx(float(unit[hits[5][3].row] @ unit[5]), abs=1e-6)


def test_only_the_dimension_counts_if_the_network_of_the_collection_is_unknown(stored):
    assert stored(COMPASS).nearest(Query(np.ones(2), describe(NETWORKS["vgg16"])))


def test_an_image_is_found_by_all_ways_to_give_it(photo_collection, photos):
    file = photos / "red" / "2.jpg"
    image = Image.open(file)
    for query in (file, str(file), file.read_bytes(), image, np.asarray(image), photo_collection.encode(file)):
        hits = photo_collection.nearest(query, k=4)
        assert hits[0].name == "red/2.jpg" and hits[0].similarity == pytest.approx(1, abs=1e-5)
        assert {hit.name.split("/")[0] for hit in hits} == {"red"}


def test_query_of_another_network_names_the_differences(photo_collection):
    other = describe(NETWORKS["hog-colour"], "nearest")
    with pytest.raises(ValueError, match=r"made by hog-colour, as the collection was.*resampling nearest, not box"):
        photo_collection.nearest(Query(np.ones(other.dimension), other))
    with pytest.raises(ValueError, match=r"got one of vgg16"):
        photo_collection.nearest(Query(np.ones(4096), describe(NETWORKS["vgg16"])))


def test_collection_moved_with_its_images_opens(photo_collection, tmp_path):
    (tmp_path / "moved").mkdir()
    for path in list(tmp_path.iterdir()):
        if path.name != "moved":
            path.rename(tmp_path / "moved" / path.name)
    collection = Collection.open(tmp_path / "moved" / "photos_file_list.txt.saved_predictions.npy")
    assert collection.image(0).is_file()


def test_mismatched_files_fail_with_the_remedy(photo_collection, tmp_path):
    vectors = tmp_path / "photos_file_list.txt.saved_predictions.npy"
    save_vectors(tmp_path / "other.npy", np.ones_like(photo_collection.vectors.array), photo_collection.names)
    with pytest.raises(ValueError, match=r"was built from other vectors than .*rebuild it"):
        Collection.open(tmp_path / "other.npy", index=tmp_path / "photos_file_list.faiss.index")
    index = tmp_path / "photos_file_list.faiss.index"
    index.write_bytes(index.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ValueError, match="altered or truncated; rebuild it"):
        Collection.open(vectors)
    index.unlink()
    assert Collection.open(vectors).recipe == "exact"
    with pytest.raises(ValueError, match="was made with hog-colour, not with vgg16"):
        Collection.open(vectors, network="vgg16")
    with pytest.raises(FileNotFoundError, match=r"make them with similar-images extract"):
        Collection.open(tmp_path / "absent.txt")


def test_missing_named_index_is_an_error(photo_collection, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no index .*absent\.index"):
        Collection.open(tmp_path / "photos_file_list.txt", index=tmp_path / "absent.index")


def test_other_weights_than_the_collections_are_refused(tmp_path, photos, run):
    keras = keras_networks.import_keras()
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        model = keras.applications.MobileNetV2(
            weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)
        )
        model.save_weights(tmp_path / f"{seed}.weights.h5")
    done = run("extract", "-d", "photos", "--network", "mobilenetv2", "--weights", "0.weights.h5")
    assert done.returncode == 0, done.stderr
    vectors = tmp_path / "photos_file_list.txt"
    image = photos / "blue" / "1.jpg"
    found = Collection.open(vectors).nearest(image, k=1)[0]
    assert found.name == "blue/1.jpg" and found.similarity == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="different: weights"):
        Collection.open(vectors, weights=tmp_path / "1.weights.h5").nearest(image)


def test_precision_by_hand():
    labels = folder_labels(["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"])
    assert labels.tolist() == ["a", "a", "b", "b"]
    unit = normalise(np.array([[1, 0], [1, 0.1], [0, 1], [1, 0.2]]))
    assert precision(unit, labels, 1) == 2 / 4  # 1, 2 find each other; b/1 finds b/2; b/2 finds a/2


def test_real_photographs_with_a_real_network(data, tmp_path, run):
    photographs = data / "photos" / "caltech101"
    weights = data / "weights" / "mobilenetv2_imagenet_notop.weights.h5"
    done = run("extract", "-d", photographs, "--network", "mobilenetv2", "--weights", weights)
    assert done.returncode == 0, done.stderr
    vectors = tmp_path / "caltech101_file_list.txt.saved_predictions.npy"
    names = open_source(photographs).find().names
    labels = folder_labels(names)
    unit = normalise(np.load(vectors))
    cosine = precision(unit, labels, 8)
    whitened = precision(fit(unit, "whitened").transform(unit), labels, 8)
    assert cosine >= 0.70 and whitened >= cosine + 0.03
    for recipe, similarity, exact in (
        ("auto", "auto", whitened),
        ("reduced", "auto", whitened),
        ("reduced", "cosine", cosine),
    ):
        options = ["--recipe", recipe, "--similarity", similarity, "--overwrite"]
        assert run("build", "-i", vectors, *options).returncode == 0
        collection = Collection.open(vectors)
        hits = [collection.nearest(row, 8) for row in range(len(names))]
        indexed = np.mean([[labels[hit.row] == labels[row] for hit in found] for row, found in enumerate(hits)])
        assert indexed == pytest.approx(exact, abs=0.01)


def test_collections_json_is_plain(photo_collection, tmp_path):
    manifest = json.loads((tmp_path / "photos_file_list.txt.saved_predictions.json").read_text())
    assert manifest["network"] == load("hog-colour").description.to_json()
    assert manifest["images"] == "photos"
    buffer = io.BytesIO()
    np.save(buffer, photo_collection.vectors.array)
    assert (tmp_path / "photos_file_list.txt.saved_predictions.npy").read_bytes() == buffer.getvalue()
