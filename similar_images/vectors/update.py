"""Bring the vectors of a folder, an archive or an address up to date: the pipeline of `update`, `extract` and `demo`."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from similar_images.events import Progress, ignore
from similar_images.files import hold_lock
from similar_images.inputs.names import read_names
from similar_images.vectors.changes import Changes, Rows, find_changes, find_copies
from similar_images.vectors.extract import Executor, Options, extract
from similar_images.vectors.file_records import blank_records, open_records, save_records
from similar_images.vectors.items import Items
from similar_images.vectors.manifest import Manifest, manifest_path, read_manifest


@dataclass(frozen=True)
class Update:
    """The result of an update of vectors."""

    changes: Changes
    images: int  # rows with a present file
    rows: int

    @property
    def retired(self) -> int:
        return self.rows - self.images

    def __str__(self) -> str:
        return f"{self.changes}; {self.images:,} images"


def update_vectors(
    items: Items, output: Path, executor: Executor, options: Options | None = None, progress: Progress = ignore
) -> Update:
    """Extract new and changed images, retire the rows of missing and changed ones, and record their files.

    `items` are of a folder, an archive or an address. An unfinished run is completed first. Raises as `extract` does.
    """
    options, source, found = options or Options(), items.source, items.found
    if source is None or found is None:
        raise ValueError(f"expected the images of a folder, got the list {items.list_file}")
    manifest = read_manifest(output) if manifest_path(output).exists() and not options.overwrite else None
    n = manifest.n if manifest and manifest.is_complete else 0
    listed = len(read_names(items.list_file)) if items.list_file.exists() else 0
    added = 0
    if not n or options.retry_skipped or listed > n:
        if manifest and n:
            rows = _read_rows(items, output, manifest)
            items = replace(items, copies=find_copies(rows, items.names[n:], source, progress))
        extract(items, output, executor, options, progress)
        added = len(items.names) - n
        options = replace(options, overwrite=False, retry_skipped=False, verify=False)
        items = replace(items, notes=())
    rows = _read_rows(items, output, read_manifest(output))
    changes = find_changes(rows, found, source, items.limits, progress)
    names = [*rows.names, *changes.appended]
    extract(replace(items, names=names, copies=changes.copies), output, executor, options, progress)
    if changes.has_new_records:
        with hold_lock(output):
            records = _records(output, len(names))
            records[: len(rows.names)] = changes.records
            save_records(output, records)
    images = len(names) - int(changes.records["retired"].sum())
    return Update(replace(changes, new=changes.new + added), images, len(names))


def preview_update(items: Items, output: Path) -> Changes:
    """Return the changes that an update would make. Files with another size or time than recorded are read."""
    if items.source is None or items.found is None:
        raise ValueError(f"expected the images of a folder, got the list {items.list_file}")
    manifest = read_manifest(output) if manifest_path(output).exists() else None
    if manifest is None or not manifest.is_complete:
        done = manifest.rows_done if manifest else 0
        return Changes(blank_records(0), False, new=len(items.names) - done)
    return find_changes(_read_rows(items, output, manifest), items.found, items.source, items.limits)


def _read_rows(items: Items, output: Path, manifest: Manifest) -> Rows:
    """Return the complete rows of vectors."""
    names = read_names(items.list_file)[: manifest.n]
    skipped = frozenset(entry.row for entry in manifest.skipped)
    trusted = items.source.latest_unchanged(output.stat().st_mtime_ns) if items.source else 0
    return Rows(names, _records(output, manifest.n), skipped, trusted)


def _records(output: Path, n: int) -> np.ndarray:
    """Return the records of n rows, in memory; unknown ones for vectors of an earlier version."""
    records = open_records(output, n)
    return blank_records(n) if records is None else np.array(records)
