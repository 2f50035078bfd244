"""Compare the images of a source with the records of their files: new, changed, missing, renamed, returned.

Row i is line i: nothing renumbers rows. A changed or renamed file gets a new row, and its earlier row is retired. A file
that returns with its earlier name and content gets its earlier row back.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat

import numpy as np
from joblib import cpu_count

from similar_images.events import Event, Progress, ignore
from similar_images.inputs.images import LIMITS, Limits
from similar_images.inputs.names import compose
from similar_images.inputs.sources import FileStatus, Source
from similar_images.vectors.file_records import NO_RECORD, UNKNOWN, FileRecord, read_record, to_array
from similar_images.vectors.items import Copy

STEP = "files compared"  # of events


@dataclass(frozen=True)
class Rows:
    """The rows of a collection before an update."""

    names: Sequence[str]  # (n,)
    records: np.ndarray  # file_records.DTYPE (n,)
    skipped: frozenset[int] = frozenset()  # rows without a vector
    trusted: int = 0  # the largest `modified` of unchanged files of rows without a record

    @cached_property
    def by_name(self) -> dict[str, list[int]]:
        """The rows of each name, in order."""
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.names):
            rows.setdefault(name, []).append(row)
        return rows

    @cached_property
    def _sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """The sizes of the files, sorted, and their rows."""
        order = np.argsort(self.records["size"], kind="stable")
        return self.records["size"][order], order

    def has_size(self, sizes: np.ndarray) -> np.ndarray:
        """Return for each size (q,) whether a file was recorded with it."""
        known, _ = self._sizes
        at = np.searchsorted(known, sizes)
        return (at < len(known)) & (known[np.minimum(at, len(known) - 1)] == sizes) if len(known) else at < 0

    def find_content(self, record: FileRecord) -> list[int]:
        """Return the rows of files with the same size and digest, in order."""
        if record.size < 0:
            return []
        known, order = self._sizes
        first, last = np.searchsorted(known, [record.size, record.size + 1])
        return sorted(
            row for row in order[first:last].tolist() if self.records[row]["digest"].tobytes() == record.digest
        )


@dataclass(frozen=True)
class Changes:
    """The difference between a source and the rows of a collection."""

    records: np.ndarray  # of the earlier rows, as they are now: file_records.DTYPE (n,)
    has_new_records: bool  # whether `records` differ from the recorded ones
    appended: tuple[str, ...] = ()  # names of new rows
    copies: Mapping[int, Copy] = field(default_factory=dict)  # of the new rows
    new: int = 0
    changed: int = 0
    missing: int = 0
    renamed: int = 0
    returned: int = 0

    def __bool__(self) -> bool:
        return self.has_new_records or bool(self.appended)

    def __str__(self) -> str:
        counts = {key: getattr(self, key) for key in ("new", "changed", "missing", "renamed", "returned")}
        return ", ".join(f"{count:,} {key}" for key, count in counts.items() if count) or "no changes"


def find_changes(
    rows: Rows, found: Sequence[str], source: Source, limits: Limits = LIMITS, progress: Progress = ignore
) -> Changes:
    """Return the changes since the records were made; `found` are the names of all images of the source, in order.

    Only files whose size or time differs from their record are read, if they are not above the limit. Raises OSError if
    the source fails.
    """
    live, kept = _match_names(rows, found, source)
    listed = [(name, _status(source.listed_status, name)) for name in found]
    known = [*listed, *((name, _status(source.status, name)) for name in kept)]
    names = [name for name, status in known if status is not None]
    statuses = [status for _, status in known if status is not None]
    own = np.array([live.get(name, -1) for name in names], np.int64)
    sizes = np.array([status.size for status in statuses], np.int64)
    times = np.array([status.modified for status in statuses], np.int64)
    recorded = rows.records[own] if len(rows.records) else to_array([])
    is_same = own >= 0
    if len(rows.records):
        is_same &= (sizes == UNKNOWN) | ((recorded["size"] == sizes) & (recorded["modified"] == times))
        is_adopted = (own >= 0) & (recorded["size"] == UNKNOWN) & (times <= rows.trusted)
    else:
        is_adopted = np.zeros(len(names), bool)
    suspects = np.flatnonzero(~is_same)
    is_read = (is_adopted | rows.has_size(sizes)) & (sizes <= limits.bytes)
    read = _read(source, [(names[at], statuses[at]) for at in suspects if is_read[at]], progress)
    return _resolve(rows, names, statuses, own, [(at, bool(is_adopted[at])) for at in suspects.tolist()], read)


def find_copies(rows: Rows, names: Sequence[str], source: Source, progress: Progress = ignore) -> dict[int, Copy]:
    """Return the new rows, in the order of `names`, whose files have the content of earlier ones."""
    statuses = [_status(source.status, name) or FileStatus(UNKNOWN, 0) for name in names]
    is_read = rows.has_size(np.array([status.size for status in statuses], np.int64))
    read = _read(source, [(names[at], statuses[at]) for at in np.flatnonzero(is_read).tolist()], progress)
    copies = {}
    for at, name in enumerate(names):
        same = [row for row in rows.find_content(read[name]) if row not in rows.skipped] if name in read else []
        if same:
            copies[len(rows.names) + at] = Copy(same[-1], read[name])
    return copies


def _match_names(rows: Rows, found: Sequence[str], source: Source) -> tuple[dict[str, int], list[str]]:
    """Return the present row of each image, and the names of images that are not `found`, but exist.

    Rows have other names than `found` if their accents are composed in another way, or if they are excluded now.
    """
    retired = set(np.flatnonzero(rows.records["retired"]).tolist()) if len(rows.records) else set()
    current = {name: some[-1] for name, all_ in rows.by_name.items() if (some := [r for r in all_ if r not in retired])}
    known, live = set(found), {}
    unmatched = {name: row for name, row in current.items() if name not in known}
    composed = {compose(name): row for name, row in unmatched.items() if not name.isascii()}
    for name in found:
        row = current.get(name)
        if row is None and not name.isascii() and (row := composed.get(compose(name))) is not None:
            unmatched.pop(rows.names[row], None)
        if row is not None:
            live[name] = row
    kept = [name for name in unmatched if _exists(source, name)]
    return live | {name: unmatched[name] for name in kept}, kept


def _exists(source: Source, name: str) -> bool:
    """Return whether a file exists, or may exist in a folder that cannot be read."""
    try:
        return bool(name.strip()) and source.is_file(name)
    except (OSError, ValueError):
        return True


def _status(read: Callable[[str], FileStatus], name: str) -> FileStatus | None:
    """Return the status of a file; None if it is missing, an unknown one if its folder cannot be read."""
    try:
        return read(name)
    except PermissionError:
        return FileStatus(UNKNOWN, 0)
    except (FileNotFoundError, ValueError):
        return None


def _read(source: Source, files: Sequence[tuple[str, FileStatus]], progress: Progress) -> dict[str, FileRecord]:
    """Return the records of files, read in several threads, without unreadable files."""
    records = {}
    with ThreadPoolExecutor(max(cpu_count(), source.readers)) as threads:
        for done, record in enumerate(threads.map(_try_to_read, repeat(source), files), 1):
            if record is not None:
                records[files[done - 1][0]] = record
            progress(Event(STEP, done, len(files)))
    return records


def _try_to_read(source: Source, file: tuple[str, FileStatus]) -> FileRecord | None:
    try:
        return read_record(source, *file)
    except (OSError, ValueError):
        return None


def _resolve(
    rows: Rows,
    names: Sequence[str],
    statuses: Sequence[FileStatus],
    own: np.ndarray,
    suspects: Iterable[tuple[int, bool]],
    read: Mapping[str, FileRecord],
) -> Changes:
    """Return the changes, given the records of the files that may have changed.

    `own` are the present rows of the names, -1 if there is none; `suspects` the positions of names, and whether the
    record of their row was unknown, which is adopted.
    """
    records, n = np.array(rows.records), len(rows.names)
    is_present = np.zeros(n, bool)
    is_present[own[own >= 0]] = True
    was_retired = rows.records["retired"] if n else is_present
    is_missing = ~is_present & ~was_retired
    appended: list[tuple[int, str, int]] = []  # present row of the name, name, row with its content; -1: none
    back: list[tuple[int, int]] = []  # returned rows, and rows with their content
    copies: list[FileRecord] = []
    for at, is_adopted in suspects:
        name, row = names[at], int(own[at])
        record = read.get(name)
        same = rows.find_content(record) if record else []
        earlier = [row] if is_adopted else [each for each in same if rows.names[each] == name]
        if row >= 0:
            is_present[row] = False
        if earlier:
            is_present[earlier[-1]] = True
            records[earlier[-1]] = (*(record or FileRecord(*statuses[at], NO_RECORD.digest)), False)
            back += [(earlier[-1], each) for each in same if row < 0 and rows.names[each] != name]
            continue
        usable = [each for each in same if each not in rows.skipped]
        if usable and record:
            appended.insert(len(copies), (row, name, max(usable, key=lambda each: (is_missing[each], each))))
            copies.append(record)
        else:
            appended.append((row, name, -1))
    _keep_repeated(rows, records, is_present)
    records["retired"] = ~is_present
    gone = set(np.flatnonzero(~is_present & ~was_retired).tolist())
    moved = _find_moved(appended, gone)
    renamed_back = {returned for returned, source in back if source in gone}
    replaced = {row for row, _, _ in appended} | {source for _, _, source in appended} | {source for _, source in back}
    counted = [row for at, (row, _, _) in enumerate(appended) if at not in moved]
    return Changes(
        records,
        has_new_records=n > 0 and bool((records != rows.records).any()),
        appended=tuple(name for _, name, _ in appended),
        copies={n + i: Copy(appended[i][2], record) for i, record in enumerate(copies)},
        new=sum(row < 0 for row in counted),
        changed=sum(row >= 0 for row in counted),
        missing=len(gone - replaced),
        renamed=len(moved) + len(renamed_back),
        returned=int((is_present & was_retired).sum()) - len(renamed_back),
    )


def _find_moved(appended: Sequence[tuple[int, str, int]], gone: set[int]) -> set[int]:
    """Return the positions of the names to which the files of gone rows have moved, one for each; other files are copies."""
    moved: dict[int, int] = {}  # row with the content -> position
    for at, (_, _, source) in sorted(enumerate(appended), key=lambda entry: entry[1][0] >= 0):
        if source in gone:
            moved.setdefault(source, at)
    return set(moved.values())


def _keep_repeated(rows: Rows, records: np.ndarray, is_present: np.ndarray) -> None:
    """Keep earlier rows of a name with the same content as its present row: a list may repeat a line."""
    for some in rows.by_name.values():
        if len(some) > 1 and is_present[some[-1]]:
            for row in some[:-1]:
                is_same = records[row]["digest"] == records[some[-1]]["digest"]
                is_present[row] |= bool(is_same) and not rows.records[row]["retired"]
