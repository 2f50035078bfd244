"""From a folder, archive or address of images to the files of a collection: list, vectors, index; and their updates."""

from collections.abc import Sequence
from pathlib import Path

from similar_images.events import Event, Progress, ignore
from similar_images.index.manifest import is_current
from similar_images.inputs.sources import Location, location_title
from similar_images.networks.catalog import DEFAULT_NETWORK, NETWORKS
from similar_images.networks.loader import recorded_files
from similar_images.vectors.extract import LocalExecutor, NetworkChoice, Options
from similar_images.vectors.items import Items, list_images
from similar_images.vectors.manifest import manifest_path, read_manifest
from similar_images.vectors.store import index_path, vectors_path
from similar_images.vectors.update import Update, update_vectors


def create_files(
    images: Location,
    output: Path,
    network: str | None = None,
    progress: Progress = ignore,
    allow_outside: bool = False,
    exclude: Sequence[str] | None = None,
) -> Path:
    """Write the files of a collection into a folder, or update them; return the list.

    Only new and changed images are computed. Raises ValueError if there are no images or the vectors were made by another
    network, OSError if a file cannot be written.
    """
    path = vectors_path(output / f"{location_title(images)}_file_list.txt")
    items = list_images(None, images, path, allow_outside, exclude=exclude)
    output.mkdir(parents=True, exist_ok=True)
    update = update_files(items, path, choose_network(path, network), progress)
    progress(Event(note=str(update)))
    return items.list_file


def update_files(items: Items, path: Path, choice: NetworkChoice, progress: Progress = ignore) -> Update:
    """Bring the vectors at `path` up to date with all images of a source, then their index. Raises as `extract` does."""
    update = update_vectors(items, path, LocalExecutor(choice), Options(verify=False), progress)
    if not is_current(index_path(path), path):
        from similar_images.index.update import update_index  # loads Faiss

        update_index(path, progress)
    return update


def choose_network(
    path: Path, network: str | None = None, model_file: Path | None = None, weights_file: Path | None = None
) -> NetworkChoice:
    """Return the network for the vectors at `path`: with the recorded files, or for new vectors the default network."""
    if not manifest_path(path).exists():
        return NetworkChoice(network or DEFAULT_NETWORK, model_file, weights_file)
    manifest = read_manifest(path)
    name, resampling = network or manifest.network_name(path), None
    if manifest.network.name in NETWORKS:
        resampling = manifest.network.resampling
        recorded = {} if model_file or weights_file else recorded_files(manifest.files, path.parent)
        model_file, weights_file = recorded.get("model", model_file), recorded.get("weights", weights_file)
    return NetworkChoice(name, model_file, weights_file, resampling)
