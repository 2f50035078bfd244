"""Base of collections of images and of texts: holds a store, an encoder, a searcher, columns and an overview."""

import copy
from abc import ABC
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self

import numpy as np

from similar_images.collection.columns import Columns, Where
from similar_images.collection.encoder import WORDS_REMEDY, E, Query, QueryEncoder
from similar_images.collection.overview import MAX_NEIGHBOURS, Overview
from similar_images.collection.searcher import Hit, Searcher, SearchOptions
from similar_images.collection.store import Store
from similar_images.collection.table import Table, check_suffix, export, hits_frame
from similar_images.events import report_counts
from similar_images.index import index as indexes
from similar_images.index.index import Index
from similar_images.index.manifest import Measurement, is_milvus
from similar_images.index.neighbours import Neighbours
from similar_images.index.similarity import Similarity, fit
from similar_images.inputs.sources import Source
from similar_images.inputs.texts import PROMPT_SLOT
from similar_images.milvus.manifest import milvus_path
from similar_images.milvus.search import check_content, open_milvus
from similar_images.networks.description import NetworkDescription
from similar_images.vectors.store import Vectors, index_path

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from similar_images.overview.clusters import Clusters

Counts = Callable[[int, int], object]  # gets the number of finished items, and of all


def ignore_counts(done: int, n: int) -> None:
    """Drop a report of progress."""


class BaseCollection(ABC, Generic[E]):
    """Names, vectors and index of one collection. Row i is line i."""

    noun: ClassVar[str]  # "image" or "text"

    def __init__(self, store: Store, encoder: QueryEncoder[E], index: Index | None = None):
        """Raises ValueError if the index was not built from these vectors."""
        if index is not None:
            indexes.check_matches(index, store.vectors)
            if not index.is_local:
                check_content(index, store.vectors)
        self.store, self.encoder = store, encoder
        self.vectors: Vectors = store.vectors
        self.names: list[str] = store.names
        self._set_searcher(Searcher(store, encoder, index))

    def _set_searcher(self, searcher: Searcher) -> None:
        self.searcher, self.overview = searcher, Overview(self.store, searcher)

    def __len__(self) -> int:
        return len(self.store)

    # Parts

    @property
    def array(self) -> np.ndarray:
        """The vectors (n, d). Raises ValueError if they are missing."""
        return self.store.array

    @property
    def compared(self) -> np.ndarray:
        """The transformed vectors (n, c) for exact search."""
        return self.searcher.compared

    @property
    def has_vectors(self) -> bool:
        """Whether the vectors are present, for exact search and re-ranking."""
        return self.store.has_vectors

    @property
    def index(self) -> Index | None:
        """The index; None: search is exact."""
        return self.searcher.index

    @property
    def network(self) -> NetworkDescription | None:
        """The network that made the vectors; None if unknown."""
        return self.vectors.network

    @property
    def recipe(self) -> str:
        """The recipe of the index, or "exact"."""
        return self.searcher.recipe

    @property
    def similarity(self) -> Similarity:
        """The similarity that orders hits: of the index, or the cosine."""
        return self.searcher.similarity

    @property
    def removed(self) -> list[int]:
        """Rows removed from the index; no search finds them."""
        return self.searcher.removed

    @property
    def not_indexed(self) -> int:
        """Number of rows with a vector that the index lacks; only exact search finds them."""
        return self.searcher.not_indexed

    @property
    def measured(self) -> Measurement | None:
        """Measurements of the index when it was built or changed: recall (at 10), interval, milliseconds, bytes."""
        return self.searcher.measured

    @property
    def recall(self) -> float | None:
        """The recall@10 of a default search, measured when the index was built; None if unknown."""
        return self.measured.recall if self.measured else None

    @property
    def is_loaded(self) -> bool:
        """Whether the network for new queries is loaded."""
        return self.encoder.loaded is not None

    def load_network(self) -> None:
        """Load the network for new queries, once. Raises ValueError if another network made the vectors."""
        self.encoder.load()

    def with_similarity(self, name: str) -> Self:
        """Return the collection with exact search by a similarity of SIMILARITIES, fitted on it, without an index.

        Raises ValueError for another name.
        """
        return self.with_index(None, fit(self.array, name, self.removed))

    def with_index(self, index: Index | None, similarity: Similarity | None = None) -> Self:
        """Return the collection with another index of its vectors, or with exact search by a similarity."""
        other = copy.copy(self)
        other._set_searcher(Searcher(self.store, self.encoder, index, similarity, self.removed))
        return other

    # Rows

    @property
    def source(self) -> Source | None:
        """The folder or archive of the images; None if unknown, or for texts."""
        return self.store.source

    def row_named(self, name: str) -> int | None:
        """Return the row of a name, the first of several; None if it is unknown."""
        return self.store.find_row(name)

    def file_state(self, row: int) -> str:
        """Return "missing" or "changed" if the file of a row no longer is the one of its vector, otherwise "".

        Also "" if unknown: texts, images in an object storage, and changes of files without a record. A file of another
        size or time than recorded is read.
        """
        return self.store.file_state(row)

    def was_skipped(self, row: int) -> bool:
        """Return whether a row has no vector."""
        return self.store.was_skipped(row)

    def vector(self, row: int) -> np.ndarray:
        """Return the vector (d,) of a row. Raises IndexError, and ValueError for a skipped row."""
        return self.searcher.vector(row)

    @property
    def columns(self) -> Columns:
        """The columns of the collection: a mapping of names to arrays (n,), read when first used.

        `name`, `folder` (of images), the columns of a table LIST.columns.csv or .parquet beside the list, and after
        `read_exif` the columns of EXIF. Texts are str, "" if empty. Whole numbers are int64 or uint64, masked if empty
        (`numpy.ma`); other numbers are floats or NaN, dates datetime64[s] or NaT, in UTC if they had a time zone. Warns
        of skipped columns of other kinds. Raises ValueError, with the remedy, if the table does not fit the names.
        """
        return self.store.columns

    def matching(self, where: Where) -> np.ndarray:
        """Return which rows match, bool (n,).

        `where` maps columns to a value, a list of values (any of them), or a pair (low, high) of a range with both
        ends; either may be None. A column with "!" after it excludes the rows that match, as in {"folder!": "trash"};
        rows without a value remain. Texts are compared without case. A part of a `name` is enough; a `folder` is a path,
        or if there is none the end of any path, and includes its subfolders; of `keywords` one is enough; a date may be `datetime.date` or ISO such
        as "2019" or "2019-07-31", and covers all of that year, month or day; a number is compared in the precision of
        its column; None, NaN and NaT match empty values.
        Or `where` is a bool array (n,), or rows.
        Raises ValueError for an unknown column or an invalid value, IndexError for an unknown row.
        """
        return self.store.matching(where)

    # Search

    def encode(self, new: Any) -> Query:
        """Return the query of a new image or text. The first call loads the network."""
        return self.encoder.encode(new)

    def encode_text(self, text: str, prompt: str = PROMPT_SLOT) -> Query:
        """Return the query of words for `nearest`, also in a list. The first call loads the network.

        Raises ValueError if the network does not read words.
        """
        raise ValueError(f"{self.encoder.name} does not read words: {WORDS_REMEDY}")

    def nearest(  # noqa: PLR0913
        self,
        query: Any = None,
        k: int = 8,
        exact: bool = False,
        reranked: bool = True,
        negatives: Sequence[Any] = (),
        where: Where | None = None,
        text: str | Sequence[str] = (),
        prompt: str = PROMPT_SLOT,
    ) -> list[Hit]:
        """Return up to k hits, the most similar first.

        A query is a row, a new image or text as `encode` takes it, the result of `encode`, or a vector (d,) of floats. A
        list of queries searches for rows similar to all of them, and dissimilar to the `negatives`; an entry may be
        (query, weight). Rows are not their own hits. Hits of an approximate index are re-ranked with the exact vectors,
        unless `reranked` is False; `exact` compares with all vectors. With `where` only matching rows are searched: see
        `matching`. `text` is words that hits should show, beside the query or alone, if the network reads words; then
        the search is exact if the vectors are present. `prompt` is a template for words, such as "a photo of a {}".
        Raises TypeError for any other query, ValueError for a weight of 0 or less, or if the network does not read words.
        """
        words = [self.encode_text(each, prompt) for each in ([text] if isinstance(text, str) else text)]
        if words:
            given = query if isinstance(query, list) else [] if query is None else [query]
            query = [*given, *words] if len(given) + len(words) > 1 else words[0]
        return self.searcher.nearest(query, negatives, SearchOptions(k, exact, reranked, where))

    def nearest_many(
        self,
        queries: Sequence[Any] | np.ndarray,
        k: int = 8,
        exact: bool = False,
        reranked: bool = True,
        where: Where | None = None,
    ) -> list[list[Hit]]:
        """Return the hits of each query of a list, or of each vector of an array (q, d), in one search."""
        if isinstance(queries, np.ndarray) and queries.ndim != 2:
            raise ValueError(f"expected vectors (q, d) or a list of queries, got an array of shape {queries.shape}")
        if not len(queries):
            return []
        return self.searcher.nearest_many(queries, SearchOptions(k, exact, reranked, where))

    def compare(self, query: Any, rows: Sequence[int], negatives: Sequence[Any] = ()) -> list[Hit]:
        """Return rows, in this order, as hits of a query as `nearest` takes it.

        Raises ValueError if the vectors are missing, IndexError for an unknown row.
        """
        return self.searcher.compare(query, rows, negatives)

    def search(
        self, unit: np.ndarray, k: int, exact: bool = False, reranked: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows (b, <= k) of the nearest rows for the network's unit vectors (b, d); row -1: none."""
        return self.searcher.find(self.similarity.transform(unit), SearchOptions(k, exact, reranked))

    def exact_search(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows (b, <= k) of an exact search, without removed rows."""
        return self.search(unit, k, exact=True)

    def percentile(self, similarity: float) -> float | None:
        """Return the percentage of less similar random pairs of this collection; None if unknown."""
        return self.searcher.percentile(similarity)

    def measure_percentiles(self) -> None:
        """Measure the similarities of random pairs, so that hits have percentiles without an index.

        Raises ValueError without vectors.
        """
        self.searcher.measure_percentiles()

    def is_like_nothing(self, hits: list[Hit], where: Where | None = None) -> bool:
        """Return whether the best hit is less similar than the best hits of 99% of the collection's own rows.

        The share is 98% (centred) or 96% (whitened) with these similarities, which detect less. After a search with
        `where`, only matching rows count. False if unknown, or if there are too few rows.
        """
        return self.searcher.has_no_close_match(hits, where)

    # Tables

    def _table(self) -> Table:
        return Table({**self.columns, **self.overview.columns()}, len(self), self.removed, self.store.retired)

    def to_pandas(self) -> "pd.DataFrame":
        """Return the name and the columns of every row as a data frame; its index is the row.

        If rows were removed, the column `removed` marks them. Whole numbers with empty rows are floats, or pandas' Int64
        if floats cannot hold them. Raises MissingExtra if pandas is not installed.
        """
        return self._table().to_pandas()

    def hits_to_pandas(self, hits: Sequence[Hit] | Sequence[Sequence[Hit]]) -> "pd.DataFrame":
        """Return hits as a data frame: row, name, path, similarity, percentile, file, then the columns.

        The column `file` is "missing" or "changed" as `file_state` returns it.

        Hits of several queries, as `nearest_many` returns them, begin with a column `query`: 0 for the first query.
        Raises MissingExtra if pandas is not installed, TypeError for anything but hits.
        """
        return hits_frame(hits, {**self.columns, **self.overview.columns()}, self.file_state)

    def to_arrow(self, vectors: bool = False) -> "pa.RecordBatchReader":
        """Return the name and the columns of every row as Arrow's record batches, read block by block.

        `.read_all()` makes a table of them. With `vectors` the last column is the network's, float32 in lists of the
        fixed size d, null for a skipped row. If rows were removed, the column `removed` marks them.
        Raises MissingExtra if PyArrow is not installed, ValueError if the vectors are missing.
        """
        return self._table().to_arrow(self.array if vectors else None)

    def export(self, path: str | Path, vectors: bool = False, progress: Counts = ignore_counts) -> None:
        """Write the name and the columns of every row, optionally with vectors, to a .parquet or .csv, block by block.

        A .csv has no vectors. Raises ValueError for another suffix, MissingExtra if PyArrow is needed and not
        installed, OSError if the file cannot be written.
        """
        path = Path(path)
        check_suffix(path, vectors)
        export(self._table(), path, self.array if vectors else None, report_counts(progress))

    # Overview

    def neighbours(self, k: int = MAX_NEIGHBOURS, progress: Counts = ignore_counts) -> Neighbours:
        """Return the k nearest rows of every row and their similarities, (n, k); row -1: none.

        No more than n - 1 neighbours exist: a larger k, above 30, gives fewer columns. A row is not its own neighbour;
        skipped and removed rows have no neighbours and are none. In a large collection the index finds them, re-ranked
        exactly; in a small one the search is exact. `progress` gets the number of finished rows, and n. Raises
        ValueError if k is below 1, or if there are no vectors.
        """
        return self.overview.neighbours(k, report_counts(progress))

    def map(self, seed: int = 0, progress: Counts = ignore_counts, fresh: bool = False) -> np.ndarray:
        """Return a 2-D similarity map: float32 coordinates (n, 2) from -1 to 1; NaN for skipped and removed rows.

        t-SNE computes it from the neighbours. It is kept beside the index. After a removal the other rows stay in
        place; after an addition, or with another similarity, the map starts from the kept coordinates, and most rows
        stay near; if at least half of the rows are new, or with `fresh`, it starts afresh. The same seed and history
        give the same bytes. `progress` gets the number of finished steps, and of all. Warns if the map cannot be kept.
        Raises MissingExtra without the extra `map`.
        """
        return self.overview.map(seed, report_counts(progress), fresh)

    def kept_map(self, seed: int = 0) -> np.ndarray | None:
        """Return the kept map, float32 (n, 2); None if there is none of these vectors and rows."""
        return self.overview.kept_map(seed)

    def map_file(self) -> Path:
        """Return the path of the kept map: beside the index, or beside the place of the index."""
        return self.overview.map_file()

    def clusters(self, progress: Counts = ignore_counts) -> "Clusters":
        """Return the clusters, the largest first: Louvain's communities of the graph of neighbours.

        `clusters().labels` is int32 (n,), -1 for rows in no cluster. A cluster has its `rows`, the most typical first,
        its `size`, and the `name` of its most typical image. They are kept beside the index until rows are added or
        removed; `progress`, warning and errors are as of the map.
        """
        return self.overview.clusters(report_counts(progress))

    def kept_clusters(self) -> "Clusters | None":
        """Return the kept clusters; None if there are none of these vectors and rows."""
        return self.overview.kept_clusters()

    def outliers(self, k: int = 8, progress: Counts = ignore_counts) -> list[Hit]:
        """Return the k most isolated rows, the most isolated first; `similarity` is the mean to the 8 nearest rows."""
        return self.overview.outliers(k, report_counts(progress))

    def typical(self, k: int = 8, progress: Counts = ignore_counts) -> list[Hit]:
        """Return the k most typical rows, the most typical first: most others have them among their 8 nearest rows.

        `similarity` is the mean to these others.
        """
        return self.overview.typical(k, report_counts(progress))

    def spread(self, k: int = 8) -> list[Hit]:
        """Return k rows that cover the collection: each represents the rows nearest to it.

        The row that represents most comes first; `similarity` is the mean to the represented rows.
        """
        return self.overview.spread(k)


def open_index(vectors: Path, index: str | Path | None) -> Index | None:
    """Open an index, by default the one beside the vectors if there is one: of Faiss, or in Milvus.

    Raises FileNotFoundError if a given one does not exist.
    """
    for path in [Path(index)] if index else [index_path(vectors), milvus_path(vectors)]:
        if path.is_file():
            return open_milvus(path) if is_milvus(path) else indexes.open_index(path)
    if index:
        raise FileNotFoundError(f"there is no index {index}: build it with similar-images build")
    return None
