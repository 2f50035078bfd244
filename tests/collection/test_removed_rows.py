"""Removed rows: no feature asks for them or finds them, with an index and without."""

import csv
import io
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from collection_files import save_texts
from extraction import extract_images
from PIL import Image

from similar_images import Collection, DuplicateReview, TextCollection, TextGallery
from similar_images.cli.duplicates import main as find_duplicates
from similar_images.collection.session import shuffle_rows
from similar_images.comparison.comparison import Comparison
from similar_images.evaluation import cluster_page, duplicate_threshold, duplicates, similarities
from similar_images.evaluation.evaluation import SearchConfig, evaluate
from similar_images.evaluation.labels import choose_labels
from similar_images.evaluation.similarities import choose_similarity
from similar_images.index.builder import BuildRequest, build, remove
from similar_images.index.quality import Queries
from similar_images.vectors.store import index_path, open_vectors, vectors_path
from similar_images.widgets.words import Words

N = 120  # pictures; each third one is there three times
REMOVED = [*range(0, 60, 3), 61, 80]  # the first of each three, and two others


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("removed") / "photos"
    random = np.random.default_rng(0)
    for kind in ("a", "b"):
        (folder / kind).mkdir(parents=True)
    names = [f"{'ab'[row // 60]}/{row:04}.png" for row in range(N)]
    for row, name in enumerate(names):
        if row % 3:
            shutil.copyfile(folder / names[row - row % 3], folder / name)
        else:
            coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
            coarse.resize((64, 48), Image.Resampling.BICUBIC).save(folder / name)
    listed = folder.parent / "photos_file_list.txt"
    vectors = extract_images(folder, listed, names)
    build(vectors, index_path(vectors.path), BuildRequest("flat"))
    remove(vectors, index_path(vectors.path), REMOVED)
    return folder.parent


@pytest.fixture(params=["index", "exact"])
def collection(folder, request) -> Collection:
    collection = Collection.open(folder / "photos_file_list.txt")
    return collection if request.param == "index" else collection.with_index(None)


def of_hits(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    return [hit.row for row in range(N) if row not in REMOVED for hit in collection.nearest(row, 9)]


def of_several_queries(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    return [hit.row for hits in collection.nearest_many([1, 2], 9, where={"folder": "a"}) for hit in hits]


def of_neighbours(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    found = collection.neighbours(5)
    return [*np.flatnonzero(found.has_any), *found.rows[found.rows >= 0]]


def on_the_map(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    pytest.importorskip("openTSNE", reason="the map is not installed")
    return np.flatnonzero(~np.isnan(collection.map(fresh=True)[:, 0]))


def in_clusters(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    pytest.importorskip("sknetwork", reason="the clusters are not installed")
    clusters, file = collection.clusters(), io.StringIO()
    cluster_page.write_csv(file, collection, clusters)
    said = cluster_page.summary(clusters, collection.removed)
    assert said.startswith(f"{N - len(REMOVED)} images in {len(clusters)} clusters, ")
    listed = [int(line["row"]) for line in csv.DictReader(io.StringIO(file.getvalue()))]
    assert len(listed) == N - len(REMOVED)
    return [*np.flatnonzero(clusters.labels >= 0), *listed]


def in_the_overview(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    hits = [*collection.outliers(N), *collection.typical(N), *collection.spread(N)]
    return [hit.row for hit in hits]


def in_duplicates(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    index = duplicates.whole_index(collection)
    pairs = duplicates.find_pairs(collection.compared, 0.99, index, removed=collection.removed)
    return pairs.rows.ravel()


def in_the_review(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    review = DuplicateReview(collection, 0.99)
    review.wait()
    try:
        assert f"of {N - len(REMOVED)} images are near-duplicates" in review.status["text"]
        return [*review.kept, *review.moved]
    finally:
        review.close()


def in_an_evaluation(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    configs = [SearchConfig(collection, exact=collection.index is None)]
    labels = choose_labels(None, collection.names)
    (found,) = evaluate(configs, k=9, queries=N, labels=labels, altered=2)
    present = np.array([row for row in range(N) if row not in REMOVED])
    others = {half: int((present // 60 == half).sum()) - 1 for half in (0, 1)}
    assert [others[query // 60] for query in found.queries.tolist()] == found.relevance.relevant.tolist()
    return [*found.queries, *found.rows.ravel()]


def chosen_by_labels(collection: Collection, patch: pytest.MonkeyPatch) -> Iterable[int]:
    labels, compare, seen = choose_labels(None, collection.names), similarities.relevance, []

    def relevance(labels, queries, rows, absent):
        seen.extend([*queries, *rows.ravel()])
        return compare(labels, queries, rows, absent)

    patch.setattr(similarities, "relevance", relevance)
    choose_similarity(collection.vectors, labels, collection.removed)
    return seen


def in_a_calibration(collection: Collection, patch: pytest.MonkeyPatch) -> Iterable[int]:
    image, read = Collection.image, []
    patch.setattr(Collection, "image", lambda self, row: read.append(row) or image(self, row))
    with pytest.raises(ValueError, match="have copies in the collection"):
        duplicate_threshold.calibrate(collection, 20, collection.index)
    return read


def at_random(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    rows = shuffle_rows(collection, 0)
    return [next(rows) for _ in range(2 * N)]


def in_a_blind_test(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    by_name = {"one": collection, "other": collection.with_similarity("centred")}
    comparison = Comparison(by_name, collection.vectors.path.with_name("votes.csv"), "ann")
    trials = list(comparison.trials(N))
    assert trials
    return [collection.names.index(name) for one in trials for name in (one.query, *one.left, *one.right)]


def as_queries(collection: Collection, _: pytest.MonkeyPatch) -> Iterable[int]:
    queries = Queries(collection.array, collection.removed)
    return [*queries.rows, *queries.true.ravel()]


FEATURES: list[Callable[[Collection, pytest.MonkeyPatch], Iterable[int]]] = [
    *(
        of_hits,
        of_several_queries,
        of_neighbours,
        on_the_map,
        in_clusters,
        in_the_overview,
        in_duplicates,
        in_the_review,
    ),
    *(in_an_evaluation, chosen_by_labels, in_a_calibration, at_random, in_a_blind_test, as_queries),
]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.__name__)
def test_removed_rows_are_nowhere(collection, feature, monkeypatch):
    rows = {int(row) for row in feature(collection, monkeypatch)} - {-1}
    assert rows and rows.isdisjoint(REMOVED) and collection.removed == REMOVED


def test_the_copies_of_a_removed_image_form_a_group_without_it(folder):
    review = DuplicateReview(Collection.open(folder / "photos_file_list.txt"), 0.99)
    review.wait()
    assert [one.row for one in review.members if one.group == 1] == [1, 2]  # row 0 has the same bytes
    assert review.kept[0] == 1 and review.moved[0] == 2
    review.close()


def test_the_commands_leave_removed_rows_out(folder):
    for options in ([], ["--exact"]):
        done = CliRunner().invoke(find_duplicates, [str(folder / "photos_file_list.txt"), "-t", "0.99", *options])
        assert done.exit_code == 0, done.stderr
        rows = {int(line["row"]) for line in csv.DictReader(io.StringIO(done.stdout))}
        assert rows and rows.isdisjoint(REMOVED)


def test_removed_texts_do_not_make_words_common(tmp_path):
    texts = [*(f"rare {row}" for row in range(40)), *(f"other {row}" for row in range(100, 160))]
    listed = save_texts(tmp_path / "texts.txt", texts)
    vectors = open_vectors(vectors_path(listed))
    build(vectors, index_path(vectors.path), BuildRequest("flat"))
    remove(vectors, index_path(vectors.path), list(range(1, 40)))
    gallery = TextGallery(TextCollection.open(listed))
    gallery.close()
    assert gallery._words.common == {"other"} and Words(texts).common == {"rare", "other"}


def test_an_export_marks_removed_rows(folder, tmp_path):
    pd, pq = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.parquet")
    collection = Collection.open(folder / "photos_file_list.txt")
    expected = [row in REMOVED for row in range(N)]
    assert collection.to_pandas().removed.tolist() == expected
    for name in ("photos.csv", "photos.parquet"):
        collection.export(tmp_path / name)
    assert pd.read_csv(tmp_path / "photos.csv").removed.tolist() == expected
    assert pq.read_table(tmp_path / "photos.parquet")["removed"].to_pylist() == expected
    assert "removed" not in collection.hits_to_pandas(collection.nearest(1, 2))
