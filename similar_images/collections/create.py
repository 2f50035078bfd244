"""From a folder or archive of images to the files of a collection: list, vectors, index."""

from collections.abc import Callable
from pathlib import Path

from similar_images.index import build as building
from similar_images.index.index import check_matches, open_index
from similar_images.inputs.sources import title
from similar_images.networks import batch_size, loader
from similar_images.networks.catalog import OF_A_FOLDER
from similar_images.vectors.from_images import extract, list_images
from similar_images.vectors.manifest import recorded_network
from similar_images.vectors.store import Vectors, index_path, open_vectors, vectors_path
from similar_images.vectors.writer import Writer

MAX_MEMORY = 2 * 10**9  # bytes, for the default batch


def create_files(
    images: Path, output: Path, network: str | None = None, progress: Callable[[int, int], None] = lambda done, n: None
) -> Path:
    """Write the files of a collection into a folder, or bring them up to date; return its list.

    Only images that are not in the files yet are computed. `progress` gets the number of images that are done and of
    all. Raises ValueError if there is no image or the vectors were made by another network, OSError if a file cannot be
    written.
    """
    path = vectors_path(output / f"{title(images)}_file_list.txt")
    listed = list_images(None, images, path)
    output.mkdir(parents=True, exist_ok=True)
    writer = Writer(path, listed.list_file, listed.names, listed.source.path)
    name = network or recorded_network(path) or OF_A_FOLDER
    writer.check_name(name)
    if not writer.is_whole:
        precision = writer.engine.get("precision", "float32")
        backend = writer.engine.get("name") or loader.fastest_engine(name, precision)
        encoder = loader.load(name, engine=backend, precision=precision)
        batch = writer.engine.get("batch") or batch_size.default(encoder.engine.name, MAX_MEMORY)
        writer.begin(encoder.description, engine={"name": encoder.engine.name, "precision": precision, "batch": batch})
        n = len(listed.names)
        extract(
            listed.names,
            listed.source,
            encoder,
            writer,
            batch,
            progress=lambda rows, skipped: progress(writer.rows_done, n),
        )
    vectors = open_vectors(path)
    change = index_change(vectors)
    if change == "build":
        building.build(vectors, index_path(path))
    elif change == "add":
        building.add(vectors, index_path(path))
    return listed.list_file


def index_change(vectors: Vectors) -> str | None:
    """Return what brings the index of vectors up to date: "build", "add", or None where nothing is missing.

    An index that cannot be used, damaged or of other vectors, is to be built again.
    """
    try:
        index = open_index(index_path(vectors.path))
        check_matches(index, vectors)
    except (FileNotFoundError, ValueError):
        return "build"
    without = {entry.row for entry in vectors.skipped}.union(index.removed)
    return "add" if len(vectors.stored) - len(without) > index.faiss.ntotal else None
