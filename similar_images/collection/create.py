"""From a folder or archive of images to the files of a collection: list, vectors, index."""

from collections.abc import Sequence
from pathlib import Path

from similar_images.events import Event, Progress, ignore
from similar_images.index import builder
from similar_images.index.index import check_matches, open_index
from similar_images.index.quality import needs_refit
from similar_images.index.similarity import COSINE, default_similarity
from similar_images.inputs.sources import Location, location_title
from similar_images.networks.catalog import DEFAULT_NETWORK
from similar_images.vectors.extract import LocalExecutor, NetworkChoice, Options, extract
from similar_images.vectors.items import list_images
from similar_images.vectors.manifest import read_network_name
from similar_images.vectors.store import index_path, open_vectors, vectors_path


def create_files(
    images: Location,
    output: Path,
    network: str | None = None,
    progress: Progress = ignore,
    allow_outside: bool = False,
    exclude: Sequence[str] | None = None,
) -> Path:
    """Write the files of a collection into a folder, or update them; return the list.

    Only new images are computed. Raises ValueError if there are no images or the vectors were made by another network,
    OSError if a file cannot be written.
    """
    path = vectors_path(output / f"{location_title(images)}_file_list.txt")
    items = list_images(None, images, path, allow_outside, exclude=exclude)
    output.mkdir(parents=True, exist_ok=True)
    choice = NetworkChoice(network or read_network_name(path) or DEFAULT_NETWORK)
    extract(items, path, LocalExecutor(choice), Options(verify=False), progress)
    update_index(path, progress)
    return items.list_file


def update_index(path: Path, progress: Progress = ignore) -> None:
    """Build the index of vectors if it is missing, unusable or outgrown; else add the missing rows."""

    def forward_notes(event: Event) -> None:  # counts of `progress` are images
        if event.note:
            progress(Event(note=event.note))

    change = _required_change(path)
    if change == "build":
        builder.build(open_vectors(path), index_path(path), progress=forward_notes)
    elif change == "add":
        manifest = builder.add(open_vectors(path), index_path(path))
        needs_transform = default_similarity(manifest.vectors.network, manifest.n) != COSINE.name
        outgrows_cosine = manifest.similarity is None and needs_transform
        if outgrows_cosine or needs_refit(manifest, manifest.n):
            builder.build(open_vectors(path), index_path(path), progress=forward_notes)


def _required_change(path: Path) -> str | None:
    """Return "build" or "add", or None if the index is current. An unusable index is rebuilt."""
    try:
        vectors, index = open_vectors(path), open_index(index_path(path))
        check_matches(index, vectors)
    except (FileNotFoundError, ValueError):
        return "build"
    absent = {*index.removed, *builder.find_skipped(vectors, index)}
    return "add" if index.ntotal + len(absent) < len(vectors.array) else None
