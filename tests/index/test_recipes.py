import faiss
import numpy as np
import pytest
from arrays import clustered

from similar_images.index.builder import BuildRequest, build, remove
from similar_images.index.exact import normalise
from similar_images.index.index import open_index
from similar_images.vectors.store import open_vectors

N, D = 400, 16


@pytest.fixture
def vectors(tmp_path):
    np.save(tmp_path / "v.npy", clustered(N, D))
    return open_vectors(tmp_path / "v.npy")


@pytest.mark.parametrize("recipe", ["HNSW0", "HNSW1", "IVF0,Flat", "PQ0"])
def test_crashing_recipes_are_refused(vectors, run, tmp_path, recipe):
    done = run("build", "-i", "v.npy", "--recipe", recipe)
    assert done.returncode == 1 and recipe in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert not (tmp_path / "v.faiss.index").exists()
    with pytest.raises(ValueError, match=recipe):
        build(vectors, tmp_path / "v.faiss.index", BuildRequest(recipe))


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
def test_classic_recipe_supports_any_dimension(tmp_path, d, parts):
    np.save(tmp_path / "w.npy", clustered(300, d))
    manifest = build(open_vectors(tmp_path / "w.npy"), tmp_path / "w.index", BuildRequest("classic"))
    assert manifest.recipe == "classic" and manifest.parameters.factory == f"IVF17,PQ{parts}x8np"


def test_memory_corrupting_recipe_is_refused(run, tmp_path):
    np.save(tmp_path / "v.npy", clustered(300, 2216))
    done = run("build", "-i", "v.npy", "--recipe", "OPQ8,PQ8x4")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: v.npy: the recipe OPQ8,PQ8x4 cannot be used with 2216 dimensions: ")
    assert done.stderr.count("\n") == 1


def test_recipe_crashing_in_training_is_refused(tmp_path):
    """Faiss crashes while it trains the rotation of 1,280 numbers."""
    np.save(tmp_path / "w.npy", clustered(1515, 1280))
    with pytest.raises(ValueError, match="the recipe OPQ8,PQ8 cannot be used with 1280 dimensions"):
        build(open_vectors(tmp_path / "w.npy"), tmp_path / "w.index", BuildRequest("OPQ8,PQ8"))
