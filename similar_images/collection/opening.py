"""Open a collection of either kind."""

from pathlib import Path
from typing import Any

from similar_images.collection.base import BaseCollection
from similar_images.collection.images import Collection
from similar_images.collection.texts import TextCollection
from similar_images.inputs.texts import TABLES, text_list_path
from similar_images.networks.description import reads_text
from similar_images.vectors.manifest import manifest_path, read_manifest
from similar_images.vectors.store import vectors_path


def is_of_texts(path: Path) -> bool:
    """Return whether a list, table or file of vectors belongs to a collection of texts, as the manifest says."""
    if path.suffix in TABLES:
        return True
    manifest = manifest_path(path if path.suffix == ".npy" else vectors_path(text_list_path(path)))
    return manifest.is_file() and reads_text(read_manifest(manifest.with_suffix(".npy")).network)


def open_collection(path: str | Path, index: str | Path | None = None, **opening: Any) -> BaseCollection[Any]:
    """Open a collection of images or of texts, whichever it is. `opening` is what Collection.open takes.

    Raises as Collection.open and TextCollection.open do, and ValueError if texts get options of images.
    """
    if not is_of_texts(Path(path)):
        return Collection.open(path, index, **opening)
    if given := [f"--{name.replace('_', '-')}" for name, value in opening.items() if value not in (None, False)]:
        raise ValueError(f"{path} is a collection of texts: omit {', '.join(given)}, for images only")
    return TextCollection.open(path, index)
