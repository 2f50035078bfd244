"""From a folder or archive of images to the files of a collection: list, vectors, index."""

from collections.abc import Callable
from pathlib import Path

from similar_images.collection.images import Collection
from similar_images.index import builder
from similar_images.index.quality import needs_refit
from similar_images.index.similarity import COSINE, default_similarity
from similar_images.inputs.sources import Location, location_title
from similar_images.networks.catalog import OF_A_FOLDER
from similar_images.networks.description import NetworkDescription
from similar_images.networks.hub_files import folder_of
from similar_images.vectors.from_images import extract, list_images, load_encoder
from similar_images.vectors.manifest import recorded_network
from similar_images.vectors.store import index_path, open_vectors, vectors_path
from similar_images.vectors.writer import Writer


def create_files(
    images: Location,
    output: Path,
    network: str | None = None,
    progress: Callable[[int, int], None] = lambda done, n: None,
    allow_outside: bool = False,
) -> Path:
    """Write the files of a collection into a folder, or bring them up to date; return its list.

    Only images that are not in the files yet are computed. `progress` gets the number of images that are done and of
    all. Raises ValueError if there is no image or the vectors were made by another network, OSError if a file cannot be
    written.
    """
    path = vectors_path(output / f"{location_title(images)}_file_list.txt")
    listed = list_images(None, images, path, allow_outside)
    output.mkdir(parents=True, exist_ok=True)
    source = listed.source
    writer = Writer(path, listed.list_file, listed.names, source.path, allow_outside=source.allow_outside)
    name = network or recorded_network(path) or OF_A_FOLDER
    writer.check_name(name)
    if not writer.is_whole:
        encoder, computed = load_encoder(writer.engine, name)
        writer.begin(encoder.description, {"model": folder_of(name)}, engine=computed)
        n = len(listed.names)

        def advance(rows: int, skipped: list) -> None:
            progress(writer.rows_done, n)

        extract(listed.names, source, encoder, writer, computed["batch"], progress=advance)
    change = index_change(path)
    if change == "build":
        builder.build(open_vectors(path), index_path(path))
    elif change == "add":
        manifest = builder.add(open_vectors(path), index_path(path))
        few = (
            manifest["similarity"] is None
            and default_similarity(NetworkDescription.from_json(manifest["vectors"]["network"]), manifest["n"])
            != COSINE.name
        )
        if few or needs_refit(manifest):
            builder.build(open_vectors(path), index_path(path))
    return listed.list_file


def index_change(vectors: Path) -> str | None:
    """Return what brings the index of vectors up to date: "build", "add", or None where nothing is missing.

    An index that cannot be used, damaged or of other vectors, is to be built again.
    """
    try:
        collection = Collection.open(vectors)
    except ValueError:
        return "build"
    if collection.index is None:
        return "build"
    return "add" if collection.not_indexed else None
