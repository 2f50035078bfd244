"""Find the images of a collection that look most like a given one, or the texts closest in meaning.

The folders follow the data, each importing only from earlier ones:

    inputs      -> images, archives, addresses on the web, texts, lists of names
    networks    -> embedding networks of images and texts
    vectors     -> names, vectors and their manifest on disk
    index       -> vectors to a Faiss index
    overview    -> a map, clusters and outliers, from the vectors' neighbours
    milvus      -> the same index in a Milvus database
    ray         -> the extraction of vectors on several machines
    collection  -> names, vectors and index, opened together and searched
    templates, evaluation, comparison, widgets, samples, cli
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from similar_images.collection.encoder import Query
    from similar_images.collection.explanation import Explanation, HeatMap
    from similar_images.collection.images import Collection
    from similar_images.collection.searcher import Hit
    from similar_images.collection.texts import TextCollection
    from similar_images.comparison.comparison import Comparison
    from similar_images.evaluation.evaluation import SearchConfig
    from similar_images.index.neighbours import Neighbours
    from similar_images.inputs.images import UnreadableImage
    from similar_images.networks.catalog import NetworkUnavailable
    from similar_images.networks.extras import MissingExtra
    from similar_images.overview.clusters import Cluster, Clusters
    from similar_images.widgets.blind_test import BlindTest
    from similar_images.widgets.duplicate_review import DuplicateReview
    from similar_images.widgets.gallery import Gallery
    from similar_images.widgets.map import Map
    from similar_images.widgets.overview import Overview
    from similar_images.widgets.text_gallery import TextGallery

_HOMES = {
    "BlindTest": "widgets.blind_test",
    "Cluster": "overview.clusters",
    "Clusters": "overview.clusters",
    "Collection": "collection.images",
    "Comparison": "comparison.comparison",
    "DuplicateReview": "widgets.duplicate_review",
    "Explanation": "collection.explanation",
    "Gallery": "widgets.gallery",
    "HeatMap": "collection.explanation",
    "Hit": "collection.searcher",
    "Map": "widgets.map",
    "MissingExtra": "networks.extras",
    "Neighbours": "index.neighbours",
    "NetworkUnavailable": "networks.catalog",
    "Overview": "widgets.overview",
    "Query": "collection.encoder",
    "SearchConfig": "evaluation.evaluation",
    "TextCollection": "collection.texts",
    "TextGallery": "widgets.text_gallery",
    "UnreadableImage": "inputs.images",
}

__all__ = [
    "BlindTest",
    "Cluster",
    "Clusters",
    "Collection",
    "Comparison",
    "DuplicateReview",
    "Explanation",
    "Gallery",
    "HeatMap",
    "Hit",
    "Map",
    "MissingExtra",
    "Neighbours",
    "NetworkUnavailable",
    "Overview",
    "Query",
    "SearchConfig",
    "TextCollection",
    "TextGallery",
    "UnreadableImage",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that `import similar_images` is fast."""
    if name in _HOMES:
        return getattr(import_module(f"similar_images.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
