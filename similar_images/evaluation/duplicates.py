"""The near-duplicates of a collection: pairs and groups of vectors, the facts about their files, as CSV and as a page.

Shape letters: n vectors in all, b in a block, d numbers in a vector, k neighbours of a row, p pairs, m in a group.
"""

import csv
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

import numpy as np

from similar_images.collection.images import Collection
from similar_images.collection.store import CHANGED
from similar_images.evaluation import duplicate_choice
from similar_images.evaluation.duplicate_choice import Member
from similar_images.events import Event, Progress, ignore
from similar_images.index.exact import normalise
from similar_images.index.index import Index
from similar_images.index.neighbours import neighbour_blocks
from similar_images.inputs import images
from similar_images.inputs.names import csv_cell_for, names_digest
from similar_images.inputs.sources import digest_image
from similar_images.templates import pages
from similar_images.vectors.store import BLOCK_BYTES

if TYPE_CHECKING:
    from scipy.sparse import csr_array

THUMBNAIL = 240  # pixels
NEIGHBOURS = 16  # of each row; a copy is among the very nearest
ROUNDING = 1e-6  # of a cosine in float32: equal vectors may be 0.9999999 apart


class Pairs(NamedTuple):
    """Pairs of rows with similar vectors."""

    rows: np.ndarray  # int64 (p, 2)
    similarities: np.ndarray  # float32 (p,), cosine


class Group(NamedTuple):
    """Rows of one picture: the similarity of each to the first, the centre, is at least the threshold."""

    rows: np.ndarray  # int64 (m,), the centre, then the most similar first
    similarities: np.ndarray  # float32 (m,), cosine, to the centre


class Choosable(NamedTuple):
    """An image of a group, with the fields that the JavaScript of a choice needs."""

    row: int
    name: str
    bytes: int
    sha256: str
    cell: str  # the name, for a CSV
    quoted: str  # name, bytes and SHA-256, for a shell
    facts: list[str]


class Card(NamedTuple):
    """An image on the page."""

    image: Choosable
    picture: str | None  # data: URL of the thumbnail
    link: str | None


def find_pairs(
    vectors: np.ndarray,
    threshold: float,
    index: Index | None = None,
    k: int = NEIGHBOURS,
    progress: Progress = ignore,
    removed: Sequence[int] = (),
) -> Pairs:
    """Return the pairs of vectors (n, d) with a similarity of at least `threshold`, among the k nearest of each row.

    The index finds the neighbours, re-ranked with the exact vectors; without an index the search is exact.
    Rows of zeros (skipped images) and `removed` rows are in no pair.
    """
    rows, similarities, done = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)], 0
    for block_rows, found, neighbours in neighbour_blocks(vectors, k + 1, index, removed):
        pairs = np.stack([np.repeat(block_rows, neighbours.shape[1]), neighbours.ravel()], axis=1)
        near = (found.ravel() >= threshold - ROUNDING) & (pairs[:, 1] >= 0) & (pairs[:, 0] != pairs[:, 1])
        rows.append(pairs[near])
        similarities.append(found.ravel()[near])
        done += len(block_rows)
        progress(Event("near-duplicates", done, len(vectors)))
    return Pairs(np.concatenate(rows), np.clip(np.concatenate(similarities), -1, 1))


def group(vectors: np.ndarray, pairs: Pairs, threshold: float) -> list[Group]:
    """Return the groups in `pairs`, ordered by their lowest row; a row is in at most one group.

    Connected components would chain: a is similar to b, b to c, and so on to unrelated pictures. So groups are
    stars. The row with the largest sum of similarities becomes a centre. It takes all free rows reached over pairs
    whose similarity to it is at least `threshold`; the next free row follows. With the data of
    benchmarks/near_duplicates.py, at 0.82, stars join 198 pairs among the other photographs and connected components
    363, both with a recall of 0.96; complete linkage has a recall of 0.72.
    Source: Aslam, Pelekhov & Rus, "The star clustering algorithm", 2004.
    """
    from scipy.sparse import csr_array

    linked, ends = np.unique(pairs.rows, return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = csr_array((pairs.similarities, (ends[:, 0], ends[:, 1])), shape=(len(linked), len(linked)))
    graph = graph.maximum(graph.T).tocsr()
    free, groups = np.ones(len(linked), dtype=bool), []
    for centre in np.argsort(-graph.sum(axis=1), kind="stable"):
        if free[centre]:
            members, similarities = _star(graph, vectors, linked, centre, free, threshold)
            free[members] = False
            if len(members) > 1:
                order = np.lexsort((members, -similarities, members != centre))
                groups.append(Group(linked[members[order]], similarities[order]))
    return sorted(groups, key=lambda one: one.rows.min())


def _star(
    graph: "csr_array", vectors: np.ndarray, linked: np.ndarray, centre: int, free: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the free nodes (m,) reached from the centre over nodes similar to it, and their similarities."""
    unit = normalise(vectors[[linked[centre]]])[0]
    members, similarities = [np.array([centre])], [np.ones(1, np.float32)]
    seen, frontier = {int(centre)}, members[0]
    while len(frontier):
        reached = np.unique(np.concatenate([graph.indices[graph.indptr[i] : graph.indptr[i + 1]] for i in frontier]))
        reached = np.array([i for i in reached if free[i] and i not in seen], dtype=np.int64)
        seen.update(reached.tolist())
        similar = _similarities(vectors, linked[reached], unit)
        near = similar >= threshold - ROUNDING
        frontier = reached[near]
        members.append(frontier)
        similarities.append(similar[near])
    return np.concatenate(members), np.concatenate(similarities)


def _similarities(vectors: np.ndarray, rows: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the cosine float32 (m,) of a unit vector (d,) with rows (m,), read in blocks."""
    step = max(1, BLOCK_BYTES // (4 * vectors.shape[1]))
    parts = [normalise(vectors[rows[i : i + step]]) @ unit for i in range(0, len(rows), step)]
    return np.concatenate([np.empty(0, np.float32), *parts]).clip(-1, 1)


def whole_index(collection: Collection) -> Index | None:
    """Return the collection's index; None if it has none. Raises ValueError if the index lacks rows."""
    index, n = collection.index, len(collection)
    if index is not None and index.manifest and index.manifest.vectors.n < n:
        raise ValueError(
            f"{index.path} contains only the first {index.manifest.vectors.n} of {n} rows: rebuild it with "
            f"similar-images build --overwrite, or use --exact"
        )
    return index


def find_members(
    collection: Collection, threshold: float, index: Index | None = None, progress: Progress = ignore
) -> list[Member]:
    """Return the near-duplicates of a collection by their groups; `index` as for find_pairs."""
    vectors = collection.compared
    pairs = find_pairs(vectors, threshold, index, progress=progress, removed=collection.removed)
    return read_members(collection, group(vectors, pairs, threshold), progress)


def read_members(collection: Collection, groups: list[Group], progress: Progress = ignore) -> list[Member]:
    """Return the images of the groups, with the sizes of their files.

    Images whose file has changed since its vector was made are left out, and noted.
    """
    members: list[Member] = []
    total, done, number, changed = sum(len(one.rows) for one in groups), 0, 1, 0
    for one in groups:
        first: dict[str, str] = {}  # SHA-256 -> name
        some = []
        for row, similarity in zip(one.rows.tolist(), one.similarities.tolist(), strict=True):
            if collection.file_state(row) == CHANGED:
                changed += 1
            else:
                some.append(_read_member(collection, number, row, similarity, first))
            done += 1
            progress(Event("files read", done, total))
        if len(some) > 1:
            members += some
            number += 1
    if changed:
        remedy = "similar-images update renews their vectors"
        progress(
            Event(note=f"left out {changed} images whose files have changed since their vectors were made: {remedy}")
        )
    return members


def summary(collection: Collection, members: list[Member], threshold: float) -> str:
    """Return the result in one line."""
    groups = len({member.group for member in members})
    found = (
        f"{len(members)} of {len(collection) - len(collection.removed)} images are near-duplicates (similarity {threshold:.3f} or more), "
        f"in {groups} group{'s' * (groups != 1)}: {len(members) - groups} beyond the first of each"
    )
    unread = sum(member.bytes is None for member in members)
    same = f"{sum(bool(member.same_file_as) for member in members)} of them the same file"
    if not unread:
        return f"{found}, {same}"
    place = f"in {collection.source.path}" if collection.source else "because their folder is not known"
    if unread < len(members):
        return f"{found}, {same}; {unread} cannot be read {place}"
    return (
        f"{found}; their files cannot be read {place}, so equal files are unknown: "
        f"give the folder or archive of the images with -d"
    )


def write_csv(file: TextIO, members: list[Member]) -> None:
    """Write one line per member below the names of the columns; on stdout without control characters."""
    cell = csv_cell_for(file)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(Member._fields)
    for member in members:
        shown = {"name": cell(member.name), "similarity": f"{member.similarity:.4f}"}
        shown["same_file_as"] = cell(member.same_file_as or "")
        writer.writerow((member._asdict() | shown).values())


def write_html(path: Path, collection: Collection, members: list[Member], title: str) -> None:
    """Write a page to choose which images to keep, with thumbnails and links to the files of a folder, whole or not at all."""
    pages.write(
        path,
        "duplicates.html",
        title=title,
        groups=_cards(path, collection, members),
        id=names_digest([one.name for one in members]),
        proposed=duplicate_choice.propose(members),
        columns=duplicate_choice.COLUMNS,
        script=duplicate_choice.script_parts(collection.source),
    )


def _read_member(collection: Collection, number: int, row: int, similarity: float, first: dict[str, str]) -> Member:
    """Return a member; `first` holds the names of the group's files so far by their SHA-256."""
    name = collection.names[row]
    unread = Member(number, row, name, similarity, None, None, None, None)
    if collection.source is None:
        return unread
    try:
        size, sha256 = digest_image(collection.source, name)
    except (OSError, ValueError):  # moved or damaged since its vector was made
        return unread
    same = first.setdefault(sha256, name)
    member = unread._replace(bytes=size, same_file_as=same if same != name else None, sha256=sha256)
    try:
        width, height = images.open_image(collection.image(row)).size
    except (OSError, ValueError):
        return member
    return member._replace(width=width, height=height)


def choosable(member: Member, is_first: bool) -> Choosable:
    """Return an image of a group as its pages show it; the others are similar to the first."""
    facts = ["most similar to the others" if is_first else f"similarity {member.similarity:.3f}"]
    if member.same_file_as:
        facts = ["same file"]
    if member.width and member.height and member.bytes is not None:
        facts.append(f"{member.width} x {member.height}, {_size(member.bytes)}")
    return Choosable(
        row=member.row,
        name=member.name,
        bytes=member.bytes or 0,
        sha256=member.sha256 or "",
        cell=duplicate_choice.csv_cell(member.name),
        quoted=duplicate_choice.quoted(member),
        facts=facts,
    )


def _cards(page: Path, collection: Collection, members: list[Member]) -> Iterator[list[Card]]:
    """Yield the groups of the page one at a time: all thumbnails together may not fit into memory."""
    for _, images_of_group in groupby(members, lambda member: member.group):
        yield [_card(page, collection, member, place == 0) for place, member in enumerate(images_of_group)]


def _card(page: Path, collection: Collection, member: Member, is_first: bool) -> Card:
    picture = pages.picture(collection.image(member.row), THUMBNAIL) if member.width else None
    link = pages.link(page, collection.source, member.name) if member.bytes is not None else None
    return Card(choosable(member, is_first), picture, link)


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
