"""Near-duplicates by another similarity than the cosine, and with an index of another one."""

import csv
import io

import numpy as np
import pytest
from arrays import clustered

from similar_images.index.builder import BuildRequest, build
from similar_images.vectors.store import open_vectors


@pytest.mark.parametrize("indexed", ["cosine", "whitened"])
@pytest.mark.parametrize("compared", ["cosine", "whitened"])
def test_copies_are_found_in_any_similarity_with_any_index(run, tmp_path, indexed, compared):
    array = clustered(600, 96)
    array[500:520] = array[100:120] + 0.01 * np.random.default_rng(1).normal(size=(20, 96))
    np.save(tmp_path / "v.npy", array)
    (tmp_path / "v.txt").write_text("".join(f"{row}.jpg\n" for row in range(600)))
    build(open_vectors(tmp_path / "v.npy"), tmp_path / "v.faiss.index", BuildRequest(similarity=indexed))
    done = run("duplicates", "v.npy", "-t", "0.999", "--similarity", compared)
    found = {frozenset(row for _, row in members) for members in grouped(done.stdout)}
    assert found == {frozenset((row, row + 400)) for row in range(100, 120)}
    exact = run("duplicates", "v.npy", "-t", "0.999", "--similarity", compared, "--exact")
    assert grouped(exact.stdout) == grouped(done.stdout)


def grouped(table: str) -> list[list[tuple[str, int]]]:
    rows = [(line["group"], int(line["row"])) for line in csv.DictReader(io.StringIO(table))]
    return [[row for row in rows if row[0] == group] for group in dict.fromkeys(group for group, _ in rows)]
