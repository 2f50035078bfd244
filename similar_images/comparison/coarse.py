"""A deliberately coarse search: an opponent for trying out a blind test on any collection."""

import tempfile
from pathlib import Path

from similar_images.collection.images import Collection
from similar_images.evaluation.evaluation import SearchConfig
from similar_images.index.builder import BuildRequest, build
from similar_images.index.index import open_index

RECIPE = "PCA8,SQ8"  # 8 bytes an image


def coarse(collection: Collection, recipe: str = RECIPE) -> SearchConfig:
    """Return the collection with a small index in memory, searched without re-ranking.

    Raises ValueError for a recipe that cannot be built.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows: its vectors are open
        path = Path(folder, "coarse.faiss.index")
        build(collection.vectors, path, BuildRequest(recipe, similarity=collection.similarity.name))
        return SearchConfig(collection.with_index(open_index(path)), reranked=False)
