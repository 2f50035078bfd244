"""Similarities: transforms, their files, changes and damage."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import faiss
import numpy as np
import pytest
from arrays import clustered
from conditions import repeated

from similar_images import Collection
from similar_images.cli.options import SIMILARITIES as OFFERED
from similar_images.files import sha256
from similar_images.index import similarity as similarities
from similar_images.index.builder import BuildRequest, add, build, remove
from similar_images.index.exact import exact_search, normalise
from similar_images.index.index import open_index
from similar_images.index.manifest import SimilarityEntry
from similar_images.index.similarity import COSINE, SIMILARITIES, Similarity, fit
from similar_images.index.tuning import QualityTarget
from similar_images.networks.description import NetworkDescription
from similar_images.records import to_json

N, D = 600, 160


@pytest.fixture
def array() -> np.ndarray:
    array = clustered(N, D)
    array[7] = 0  # a skipped image
    return array


@pytest.fixture
def stored(save, array):
    return lambda n=N: save(array[:n])


@pytest.fixture
def index(tmp_path):
    return tmp_path / "v.faiss.index"


def beside(index) -> list[str]:
    return sorted(path.name for path in index.parent.glob("v.faiss.index.*.npy"))


def test_commands_offer_all_similarities():
    assert OFFERED == SIMILARITIES


def test_cosine_has_no_transform(array):
    unit = normalise(array)
    assert fit(array, "cosine") is COSINE and COSINE.transform(unit) is unit and COSINE.bytes == 0


def test_centred_vectors_have_zero_mean(array):
    unit = normalise(np.delete(array, 7, axis=0))
    moved = fit(array, "centred").transform(unit)
    assert np.allclose(moved, normalise(unit - unit.mean(axis=0)), atol=1e-3)  # the mean is kept as float16
    assert similarities.mean_drift(moved) < 0.05 < similarities.mean_drift(unit)


def test_whitened_vectors_are_principal_components(array):
    unit = normalise(np.delete(array, 7, axis=0))
    centred = unit - unit.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    c = (N - 1) // similarities.ROWS_PER_COMPONENT
    similarity = fit(array, "whitened")
    assert similarity.matrix.shape == (c, D)
    first = similarity.matrix[:10] / np.linalg.norm(similarity.matrix[:10], axis=1, keepdims=True)
    assert np.allclose(np.abs(np.sum(first * directions[:10], axis=1)), 1, atol=1e-2)
    strengths = np.linalg.norm(similarity.matrix, axis=1)  # 8 rows a component: no whitening yet
    assert np.allclose(strengths, strengths[0], rtol=2e-2)


def test_more_vectors_are_whitened_more():
    array = clustered(3000, 40)
    strengths = np.linalg.norm(fit(array, "whitened").matrix, axis=1)
    deviations = np.linalg.svd(normalise(array) - normalise(array).mean(axis=0), compute_uv=False)
    assert 1 < strengths[-1] / strengths[0] < (deviations[0] / deviations[-1]) ** similarities.WHITENING_POWER


def test_block_size_does_not_change_transform(array):
    unit = normalise(array)
    for name in ("centred", "whitened"):
        similarity = fit(array, name)
        whole = similarity.transform(unit)
        assert not whole[7].any() and np.allclose(np.linalg.norm(np.delete(whole, 7, axis=0), axis=1), 1, atol=1e-5)
        assert np.allclose(
            np.concatenate([similarity.transform(unit[i : i + 1]) for i in range(20)]), whole[:20], atol=1e-5
        )


def test_fit_ignores_absent_rows_and_is_deterministic(array):
    spoilt = np.concatenate([array, 100 * np.eye(50, D, dtype=np.float32)])
    absent = list(range(N, N + 50))
    for name in ("centred", "whitened"):
        one, other = fit(spoilt, name, absent), fit(spoilt, name, absent)
        unit = normalise(array)
        assert np.array_equal(one.transform(unit), other.transform(unit))
        assert np.allclose(one.transform(unit), fit(array, name).transform(unit), atol=0.02)


def test_identical_vectors_and_unknown_names_are_refused():
    with pytest.raises(ValueError, match="needs vectors that differ: use cosine"):
        fit(np.ones((300, 8), np.float32), "whitened")
    with pytest.raises(ValueError, match="expected a similarity of auto, cosine, centred, whitened, got euclid"):
        fit(np.ones((300, 8), np.float32), "euclid")


@pytest.mark.parametrize("name", ["centred", "whitened"])
def test_saved_transform_is_unchanged(tmp_path, array, name):
    similarity = fit(array, name)
    similarity.save(tmp_path / "t.npy")
    again = similarities.load_transform(tmp_path / "t.npy", name)
    assert isinstance(again, Similarity) and again.name == name
    assert np.array_equal(again.transform(normalise(array)), similarity.transform(normalise(array)))
    numbers = sum(part.size for part in (similarity.offset, similarity.matrix) if part is not None)
    assert (tmp_path / "t.npy").stat().st_size == 2 * numbers + 128
    assert 4 * numbers < similarity.bytes < 4 * numbers + 200  # in the file of an index


def test_default_similarity_depends_on_network_and_size():
    network = NetworkDescription("mobilenetv2", dimension=1280)
    texts = NetworkDescription("minilm", dimension=384, reads="text")
    assert similarities.default_similarity(network, similarities.MIN_PCA_VECTORS) == "whitened"
    assert similarities.default_similarity(network, similarities.MIN_PCA_VECTORS - 1) == "cosine"
    assert similarities.default_similarity(texts, 10_000) == similarities.default_similarity(None, 10_000) == "cosine"


@pytest.mark.parametrize("recipe", ["flat", "reduced", "classic", "IVF16,SQ8"])
@pytest.mark.parametrize("name", ["centred", "whitened"])
def test_reranked_similarities_match_exact_search(stored, index, recipe, name):
    vectors = stored()
    build(vectors, index, BuildRequest(recipe, similarity=name))
    opened = open_index(index)
    unit = normalise(vectors.array)
    moved = opened.similarity.transform(unit)
    expected = moved @ moved.T
    similarities_, rows = opened.search(unit[:50], 10, vectors.array)
    for query in range(50):
        if query != 7:
            assert np.allclose(similarities_[query], expected[query, rows[query]], atol=1e-3)
    true = exact_search(opened.vectors, moved[:50], 10)[1]
    found = [len(set(rows[q]) & set(true[q])) / 10 for q in range(50) if q != 7]
    assert np.mean(found) > (0.99 if recipe == "flat" else 0.8)


@pytest.mark.parametrize("recipe", ["flat", "reduced", "mapped", "classic", "PCA8,SQ8", "target"])
@pytest.mark.parametrize("name", ["cosine", "centred", "whitened"])
def test_faiss_alone_finds_rows_by_network_vectors(stored, index, array, recipe, name):
    target = QualityTarget(recall=0.9, max_bytes=120_000) if recipe == "target" else None
    build(stored(), index, BuildRequest("auto" if target else recipe, target=target, similarity=name))
    remove(stored(), index, [3, 550])
    whole, opened = faiss.read_index(str(index)), open_index(index)
    unit = normalise(array[:60])
    assert whole.d == D and whole.ntotal == N - 3 and (opened.recipe == "flat") == (recipe == "flat")
    found = whole.search(unit, 5)[1]
    assert not np.isin(found, [3, 7, 550]).any()
    own = np.setdiff1d(np.arange(60), [3, 7])
    assert np.mean(found[own, 0] == own) > (0.99 if recipe == "flat" else 0.8)
    assert np.mean(found[own] == opened.search(unit, 5)[1][own]) > 0.99
    if name != "cosine":
        assert np.array_equal(whole.search(3 * unit, 5)[1][own], found[own])  # of any length


def test_faiss_alone_finds_rows_in_parts(stored, index, array):
    manifest = build(stored(), index, BuildRequest("reduced", similarity="whitened", part_size=250))
    whole = faiss.read_index(str(index))
    lists = faiss.extract_index_ivf(whole)
    for part in manifest.parts.files:
        lists.merge_from(faiss.read_index(str(index.with_name(part.file))), 0)
    whole.ntotal = lists.ntotal
    unit = normalise(np.delete(array, 7, axis=0)[:60])
    assert np.array_equal(whole.search(unit, 5)[1], open_index(index).search(unit, 5)[1])


def test_transformed_vectors_are_replaced_with_index(stored, index):
    manifest = build(stored(), index, BuildRequest(similarity="whitened"))
    entry = manifest.similarity
    assert beside(index) == [entry.vectors] and entry.name == "whitened"
    opened = open_index(index)
    assert opened.vectors.dtype == np.float16 and opened.vectors.shape == (N, entry.dimension)
    assert manifest.measured.bytes_on_disk == index.stat().st_size
    centred = build(stored(), index, BuildRequest(similarity="centred")).similarity
    assert beside(index) == [centred.vectors]
    assert build(stored(), index).similarity is None  # the network is unknown
    assert not beside(index) and open_index(index).similarity is COSINE


@pytest.mark.parametrize("recipe", ["flat", "reduced"])
def test_add_and_remove_keep_transform(stored, index, array, recipe):
    build(stored(500), index, BuildRequest(recipe, similarity="whitened"))
    before = open_index(index)
    manifest = add(stored(), index)
    grown = open_index(index)
    assert np.array_equal(before.similarity.matrix, grown.similarity.matrix)
    assert np.array_equal(before.vectors, grown.vectors[:500])
    assert grown.vectors.shape[0] == N and grown.vectors[N - 1].any()
    assert grown.backend.ntotal == N - 1
    removed = remove(stored(), index, [3, 550])
    assert removed.similarity.vectors == manifest.similarity.vectors and len(beside(index)) == 1
    assert 3 not in open_index(index).search(normalise(array[3:4]), 5, array)[1]


def test_repaired_row_is_transformed(stored, index, array):
    vectors = stored()
    build(vectors, index, BuildRequest(similarity="centred"))
    manifest = json.loads(index.with_name(index.name + ".json").read_text())
    assert not open_index(index).vectors[7].any()
    manifest["vectors"]["skipped"] = [7]
    index.with_name(index.name + ".json").write_text(json.dumps(manifest))
    array[7] = array[8] + 1
    add(stored(), index)
    assert open_index(index).vectors[7].any() and open_index(index).backend.ntotal == N


@pytest.mark.parametrize(("first", "shift", "pays"), [(300, 0, True), (1100, 0, False), (1100, 3, True)])
def test_grown_or_drifted_collection_recommends_rebuild(save, run, first, shift, pays):
    array = clustered(1400, D)
    array[1100:, :5] += shift * np.abs(array).mean()
    for n, change in ((first, "--overwrite"), (1400, "--add")):
        save(array[:n])
        how = ["--similarity", "whitened"] if change == "--overwrite" else []
        done = run("build", "-i", "v.npy", change, *how)
        assert f"similarity whitened ({min(112, first // 8)} numbers)" in done.stderr
        assert ("a rebuild gives better hits" in done.stderr) == (pays and change == "--add")
    if pays:
        assert "--overwrite --similarity whitened" in done.stderr


def test_missing_transformed_vectors_do_not_change_hits(stored, index, array):
    vectors = stored()
    entry = build(vectors, index, BuildRequest("reduced", similarity="whitened")).similarity
    queries = normalise(array[:20])
    before = open_index(index).search(queries, 5, array)
    index.with_name(entry.vectors).write_bytes(index.with_name(entry.vectors).read_bytes()[:-9])
    assert open_index(index).vectors is None
    assert np.array_equal(open_index(index).search(queries, 5, array)[1], before[1])
    index.with_name(entry.vectors).unlink()
    remove(vectors, index, [5])
    assert open_index(index).vectors is not None


@pytest.mark.parametrize("name", ["centred", "whitened"])
def test_missing_manifest_does_not_change_hits(stored, index, array, name):
    build(stored(), index, BuildRequest(similarity=name))
    queries, before = normalise(array[8:20]), open_index(index)
    index.with_name(index.name + ".json").unlink()
    alone = open_index(index)
    assert alone.d == D and alone.similarity.name == name
    for one, other in zip(alone.search(queries, 5, array), before.search(queries, 5, array), strict=True):
        assert np.allclose(one, other, atol=1e-6)


def save_as_version_1(index) -> SimilarityEntry:
    """Rewrite an index as earlier versions did: of transformed vectors, with the transform in another file."""
    opened = open_index(index, with_parts=False)
    faiss.write_index(opened.backend.index, str(index))
    part = index.with_name("transform.npy")
    opened.similarity.save(part)
    entry = replace(opened.manifest.similarity, transform=f"{index.name}.{sha256(part)[:8]}.transform.npy")
    part.replace(index.with_name(entry.transform))
    manifest = replace(opened.manifest, similarity=entry, sha256=sha256(index))
    index.with_name(index.name + ".json").write_text(json.dumps({"format": manifest.FORMAT, **to_json(manifest)}))
    return entry


@pytest.mark.parametrize("how", [{"recipe": "flat"}, {"recipe": "reduced"}, {"recipe": "reduced", "part_size": 250}])
@pytest.mark.parametrize("name", ["centred", "whitened"])
def test_index_of_earlier_version_is_searched_and_changed(stored, index, array, how, name):
    build(stored(500), index, BuildRequest(similarity=name, **how))
    queries, before = normalise(array[:20]), open_index(index)
    entry = save_as_version_1(index)
    assert beside(index) == sorted([entry.transform, entry.vectors])
    opened = open_index(index)
    assert opened.d == D and opened.similarity.name == name
    assert np.array_equal(opened.search(queries, 5, array)[1], before.search(queries, 5, array)[1])
    remove(stored(), index, [3])
    assert len(beside(index)) == 1  # the index holds the transform now
    save_as_version_1(index)
    add(stored(), index)
    grown = open_index(index)
    assert len(beside(index)) == 1 and grown.backend.ntotal == N - 2 and faiss.read_index(str(index)).d == D
    assert 3 not in grown.search(normalise(array[3:4]), 5, array)[1]
    assert grown.search(normalise(array[550:551]), 5, array)[1][0, 0] == 550


def test_damaged_separate_transform_is_refused(stored, index):
    build(stored(), index, BuildRequest("reduced", similarity="whitened"))
    transform = index.with_name(save_as_version_1(index).transform)
    content = bytearray(transform.read_bytes())
    content[-3] ^= 1
    transform.write_bytes(content)
    with pytest.raises(ValueError, match=r"the transform of its similarity, .* was altered; rebuild it"):
        open_index(index)
    transform.unlink()
    with pytest.raises(ValueError, match="is missing; rebuild it"):
        open_index(index)


def test_manifest_with_files_elsewhere_is_refused(stored, index, tmp_path):
    build(stored(), index, BuildRequest(similarity="centred"))
    save_as_version_1(index)
    path = index.with_name(index.name + ".json")
    manifest = json.loads(path.read_text())
    for key in ("transform", "vectors"):
        path.write_text(json.dumps(manifest | {"similarity": manifest["similarity"] | {key: "../elsewhere.npy"}}))
        with pytest.raises(ValueError, match="cannot be used as an index"):
            open_index(index)


def test_two_builds_give_the_same_files(stored, index, tmp_path):
    build(stored(), index, BuildRequest(similarity="whitened"))
    first = {name: (tmp_path / name).read_bytes() for name in [*beside(index), index.name]}
    build(stored(), index, BuildRequest(similarity="whitened"))
    assert first == {name: (tmp_path / name).read_bytes() for name in [*beside(index), index.name]}


def test_reader_sees_matching_similarity_during_rebuilds(stored, index, array):
    vectors, seen = stored(), set()
    build(vectors, index, BuildRequest(similarity="centred"))
    unit = normalise(array[:3])
    expected = {}
    for name in ("centred", "whitened"):
        fitted = fit(array, name, [7])
        expected[name] = exact_search(fitted.transform(normalise(array)), fitted.transform(unit), 5)[1]

    def read() -> None:
        opened = open_index(index)
        _, rows = opened.search(unit, 5, array)
        seen.add(opened.similarity.name)
        assert opened.vectors is not None
        assert np.array_equal(rows, expected[opened.similarity.name])

    with repeated(read, threads=2) as wait:
        for _ in range(15):
            for name in ("whitened", "centred"):
                build(vectors, index, BuildRequest(similarity=name))
                wait()
    assert seen == {"centred", "whitened"}
    assert len(beside(index)) == 1


def test_two_threads_get_the_same_hits(stored, index, tmp_path, array):
    entry = build(stored(), index, BuildRequest("reduced", similarity="whitened")).similarity
    rows = [row for row in range(60) if row != 7]
    expected = [Collection.open(tmp_path / "v.npy").nearest(row, 5, exact) for exact in (False, True) for row in rows]
    index.with_name(entry.vectors).unlink()  # both threads recompute them
    collection = Collection.open(tmp_path / "v.npy")

    def search(_: int) -> list[list[int]]:
        return [[hit.row for hit in collection.nearest(row, 5, exact)] for exact in (False, True) for row in rows]

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(search, range(2)))
    assert found == [[[hit.row for hit in hits] for hits in expected]] * 2
