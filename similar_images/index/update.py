"""Bring the index of vectors up to date: build it, add rows, remove retired rows."""

from pathlib import Path

from similar_images.events import Event, Progress, ignore
from similar_images.index import builder
from similar_images.index.builder import BuildRequest
from similar_images.index.index import Index, check_matches, open_index
from similar_images.index.manifest import IndexManifest, read_manifests
from similar_images.index.quality import needs_refit
from similar_images.index.similarity import COSINE, default_similarity
from similar_images.vectors.store import Vectors, index_path, open_vectors

DEFAULT_RECIPES = ("flat", "reduced")  # which "auto" chooses


def update_index(path: Path, progress: Progress = ignore) -> None:
    """Build the index of vectors if it is missing, unusable or outgrown; else add missing and remove retired rows.

    A new row with the name or content of an image that the user removed is removed too.
    """

    def forward_notes(event: Event) -> None:  # counts of `progress` are images
        if event.note:
            progress(Event(note=event.note))

    change = _required_change(path)
    if change == "build":
        _rebuild(path, forward_notes)
    elif change == "add":
        vectors = open_vectors(path)
        again = _find_removed_again(vectors, open_index(index_path(path), with_parts=False))
        manifest = builder.add(vectors, index_path(path))
        if again:
            manifest = builder.remove(vectors, index_path(path), again)
        needs_transform = default_similarity(manifest.vectors.network, manifest.n) != COSINE.name
        outgrows_cosine = manifest.similarity is None and needs_transform
        if outgrows_cosine or needs_refit(manifest, manifest.n):
            _rebuild(path, forward_notes)


def _rebuild(path: Path, progress: Progress) -> None:
    """Build the index of vectors again, with the recipe, similarity, target and parts of the present one."""
    builder.build(open_vectors(path), index_path(path), _recorded_request(index_path(path)), progress)


def _recorded_request(index: Path) -> BuildRequest:
    """Return the request of an index; the default for one that was made by default, or has no usable manifest."""
    try:
        manifest = next(iter(read_manifests(index)), None)
    except ValueError:
        manifest = None
    if not isinstance(manifest, IndexManifest):
        return BuildRequest()
    size = manifest.parts.size if manifest.parts else None
    if manifest.target is None and manifest.recipe in DEFAULT_RECIPES:
        return BuildRequest(part_size=size)
    similarity = manifest.similarity.name if manifest.similarity else COSINE.name
    return BuildRequest(manifest.recipe, similarity, manifest.target, size)


def _find_removed_again(vectors: Vectors, index: Index) -> list[int]:
    """Return the new rows with the name or content of images that the user removed, and that were changed or renamed."""
    if vectors.records is None or vectors.names is None or index.manifest is None:
        return []
    retired = sorted({*vectors.retired.tolist()} & {*index.removed})
    names = {vectors.names[row] for row in retired}
    contents = {vectors.records[row]["digest"].tobytes() for row in retired}
    added = range(index.manifest.vectors.n, len(vectors.names))
    return [
        row
        for row in (added if retired else ())
        if vectors.names[row] in names or vectors.records[row]["digest"].tobytes() in contents
    ]


def _required_change(path: Path) -> str | None:
    """Return "build" or "add", or None if the index is current. An unusable index is rebuilt."""
    try:
        vectors, index = open_vectors(path), open_index(index_path(path))
        check_matches(index, vectors)
    except (FileNotFoundError, ValueError):
        return "build"
    retired = vectors.retired.tolist()
    absent = {*index.removed, *builder.find_skipped(vectors, index), *retired}
    has_retired = index.manifest is not None and index.manifest.vectors.retired == retired
    return "add" if index.ntotal + len(absent) < len(vectors.array) or not has_retired else None
