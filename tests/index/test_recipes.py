import faiss
import numpy as np
import pytest
from arrays import clustered

from similar_images.index.builder import BuildRequest, build, remove
from similar_images.index.exact import normalise
from similar_images.index.index import open_index

N, D = 400, 16


@pytest.fixture
def vectors(save):
    return save(clustered(N, D))


@pytest.mark.parametrize(
    ("recipe", "n", "d"),
    [
        ("HNSW0", N, D),
        ("HNSW1", N, D),
        ("IVF0,Flat", N, D),
        ("PQ0", N, D),
        ("OPQ8,PQ8x4", 300, 2216),  # corrupts memory
        ("OPQ8,PQ8", 1515, 1280),  # crashes while Faiss trains the rotation
    ],
)
def test_crashing_recipes_are_refused(save, run, tmp_path, recipe, n, d):
    save(clustered(n, d))
    done = run("build", "-i", "v.npy", "--recipe", recipe)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: v.npy: ") and recipe in done.stderr and f"{d} dimensions" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "v.faiss.index").exists()


@pytest.mark.parametrize("recipe", ["IVF16,PQ8x4,RFlat", "PCA8,PQ4x4"])
def test_refined_and_reduced_codes_have_rows_as_ids(vectors, tmp_path, recipe):
    path = tmp_path / "v.faiss.index"
    assert build(vectors, path, BuildRequest(recipe)).n == N
    index = open_index(path)
    _, rows = index.search(vectors.array[:9] / np.linalg.norm(vectors.array[:9], axis=1)[:, None], 1, vectors.array)
    assert (rows.ravel() == np.arange(9)).mean() > 0.5
    try:
        assert remove(vectors, path, [3]).n == N - 1
    except ValueError as error:
        assert "cannot remove" in str(error)


def test_principal_components_match_faiss(vectors, tmp_path):
    build(vectors, tmp_path / "v.faiss.index", BuildRequest("PCA8,SQ8"))
    built = open_index(tmp_path / "v.faiss.index")
    transform = faiss.downcast_VectorTransform(built.backend.index.chain.at(0))
    assert type(transform) is faiss.LinearTransform and built.manifest.parameters.factory == "PCA8,SQ8"
    expected = faiss.PCAMatrix(D, 8)
    expected.train(normalise(vectors.array))
    projections = [faiss.vector_to_array(one.A).reshape(8, D) for one in (transform, expected)]
    assert np.allclose(*(one.T @ one for one in projections), atol=1e-4)  # of the same subspace


@pytest.mark.parametrize(("d", "parts"), [(32, 16), (554, 2), (2216, 8)])
def test_classic_recipe_supports_any_dimension(save, tmp_path, d, parts):
    manifest = build(save(clustered(300, d)), tmp_path / "v.faiss.index", BuildRequest("classic"))
    assert manifest.recipe == "classic" and manifest.parameters.factory == f"IVF17,PQ{parts}x8np"
