"""Near-duplicates: groups of images that are (nearly) the same picture, and the threshold that tells.

Shape letters: n vectors in all, b in a block, d numbers in a vector, k neighbours of a row, p pairs, m in a group.
"""

import base64
import csv
import html
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from PIL import Image
from scipy.sparse import csr_array

from similar_images.collections.images import Collection
from similar_images.evaluation.alterations import ALTERATIONS
from similar_images.files import replacing
from similar_images.index.index import Index, blocks, exact_search, normalised, search
from similar_images.inputs import images
from similar_images.inputs.sources import digest
from similar_images.vectors.store import BLOCK_BYTES

# Network -> the cosine similarity from which two images are near-duplicates. benchmarks/near_duplicates.py, with 200
# photographs of COCO, five altered copies of each and 1,515 others of Caltech-101: at these, groups join 2,490 and 930
# pairs of one photograph and none of two. They also join 85 and 49 pairs among the others. Looked at one by one, 36
# and 15 of those are different pictures, motorbikes and one man's face mostly (mirrored pairs and frames of one
# drawing count as the same): a precision of 0.986 and 0.985.
THRESHOLDS = {"mobilenetv2": 0.86, "hog-colour": 0.88}
NEIGHBOURS = 16  # of each row; a copy is among the very nearest
ROUNDING = 1e-6  # of a cosine in float32: equal vectors may be 0.9999999 apart
PRECISION = 0.99  # that a calibration keeps
PICTURE = 32  # pixels; the side of the pictures that are compared pixel by pixel
SAME_PIXELS = 0.95  # correlation; of the mirrored pairs in Caltech-101 most have 0.96 to 1, other motorbikes up to 0.97
SEED = 1234
THUMBNAIL = 240  # pixels
HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #d0d5dc; --soft: #5c6570; --back: #f6f7f9; --card: #fff }}
@media (prefers-color-scheme: dark) {{ :root {{ --line: #3a414b; --soft: #a3acb8; --back: #15181c; --card: #1f242a }} }}
body {{ margin: 0; background: var(--back); font: 14px/1.45 system-ui, sans-serif }}
main {{ max-width: 1400px; margin: auto; padding: 24px }}
h1 {{ font-size: 20px; margin: 0 0 24px; overflow-wrap: anywhere }}
h2 {{ font-size: 15px; margin: 28px 0 10px; padding-top: 14px; border-top: 1px solid var(--line) }}
small {{ font-weight: normal; color: var(--soft); margin-left: 6px }}
div {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 14px }}
figure {{ margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: hidden }}
img, .none {{ display: block; width: 100%; height: 160px; object-fit: contain; background: var(--back) }}
.none {{ line-height: 160px; text-align: center; color: var(--soft) }}
figcaption {{ padding: 8px 10px }}
figcaption > * {{ display: block; color: var(--soft); font-size: 13px }}
b {{ font-weight: 600; color: CanvasText; overflow-wrap: anywhere }}
</style></head><body><main>
<h1>{title}</h1>
"""


class Pairs(NamedTuple):
    """Rows that are each other's neighbours."""

    rows: np.ndarray  # int64 (p, 2)
    similarities: np.ndarray  # float32 (p,), cosine


class Group(NamedTuple):
    """Rows of one picture: all as similar to the first, the centre, as the threshold asks."""

    rows: np.ndarray  # int64 (m,), the centre, then the most similar first
    similarities: np.ndarray  # float32 (m,), cosine, to the centre


class Member(NamedTuple):
    """An image of a group, with what helps to choose the copy to keep; None: its file cannot be read."""

    group: int  # from 1
    row: int
    name: str
    similarity: float  # cosine, to the group's first
    bytes: int | None
    width: int | None  # pixels
    height: int | None  # pixels
    same_file_as: str | None  # the group's earlier image with the same bytes


class Calibration(NamedTuple):
    threshold: float
    precision: float  # share of true pairs among those at the threshold
    recalls: dict[str, float]  # alteration -> share of the altered copies found at the threshold
    images: int  # that were altered, and had no copy in the collection


def default_threshold(network: dict | None) -> float:
    """Return the similarity measured for a network. Raises ValueError, with the ways on, where it was not."""
    name = network["name"] if network else "an unknown network"
    if name not in THRESHOLDS:
        raise ValueError(
            f"no threshold was measured for the vectors of {name}, only for {', '.join(THRESHOLDS)}: "
            f"find one on your images with --calibrate 50, or give one with --threshold"
        )
    return THRESHOLDS[name]


def whole_index(collection: Collection) -> Index | None:
    """Return the collection's index, None where it has none. Raises ValueError where the index lacks new rows."""
    index, n = collection.index, len(collection)
    if index is not None and index.manifest and index.manifest["vectors"]["n"] < n:
        raise ValueError(
            f"{index.path} knows the first {index.manifest['vectors']['n']} of {n} rows: build it again with "
            f"build_search_db.py --overwrite, or pass --exact"
        )
    return index


def find_pairs(
    vectors: np.ndarray,
    threshold: float,
    index: Index | None = None,
    k: int = NEIGHBOURS,
    progress: Callable[[int], None] = lambda rows: None,
) -> Pairs:
    """Return the pairs of vectors (n, d) that are as similar as `threshold`, among the k nearest of each row.

    The neighbours come through the index and are ranked with the exact vectors; without one all are compared.
    Rows of zeros (skipped images) have none. After each block `progress` gets its number of rows.
    """
    rows, similarities = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    for block_rows, unit in _query_blocks(vectors, k + 1, index):
        found, neighbours = _nearest(vectors, index, unit, k + 1)
        pairs = np.stack([np.repeat(block_rows, neighbours.shape[1]), neighbours.ravel()], axis=1)
        near = (found.ravel() >= threshold - ROUNDING) & (pairs[:, 1] >= 0) & (pairs[:, 0] != pairs[:, 1])
        rows.append(pairs[near])
        similarities.append(found.ravel()[near])
        progress(len(unit))
    return Pairs(np.concatenate(rows), np.clip(np.concatenate(similarities), -1, 1))


def group(vectors: np.ndarray, pairs: Pairs, threshold: float) -> list[Group]:
    """Return the groups in `pairs`, by their lowest row; a row is in one group at most.

    Linking every pair would chain: a like b, b like c, and so on to pictures that are nothing alike. So groups are
    stars: the row that is most similar to most others is a centre and takes all that are linked to it, however
    far, and as similar to it as `threshold`; then the next of those left. On the data of the benchmark, at 0.82, stars
    join 198 pairs among the others and connected components 363, both with a recall of 0.96; groups in which all
    are similar to all (complete linkage) find 0.72 of the copies' pairs.
    Source: Aslam, Pelekhov & Rus, "The star clustering algorithm", 2004.
    """
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


def calibrate(
    collection: Collection,
    count: int,
    index: Index | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> Calibration:
    """Return the lowest threshold that keeps PRECISION on a collection's own images, of which `count` are altered.

    Precision is that of a collection where every image has one altered copy: a pair is true if it is of an image and
    its copy, false if it is of either and another image. Images whose pixels show that the collection has a copy
    of them already would count it as false: they are left out.
    Raises ValueError where no image is left, or where no threshold is high enough.
    """
    rows, copies, pictures = _altered(collection, count, progress)
    originals = normalised(collection.vectors.array[rows])
    true = np.einsum("id,iad->ia", originals, copies)  # images, alterations
    queries = np.concatenate([originals[:, None], copies], axis=1)
    false, neighbours = _nearest(collection.vectors.array, index, queries.reshape(-1, queries.shape[2]))
    false, neighbours = (found.reshape(*queries.shape[:2], -1) for found in (false, neighbours))
    false[(neighbours == rows[:, None, None]) | (neighbours < 0)] = -1
    likely = [neighbours[i, 0][false[i, 0] >= true[i].min()] for i in range(len(rows))]
    single = [not _has_copy(collection, *one) for one in zip(pictures, likely, strict=True)]
    if not any(single):
        raise ValueError(f"all of the {len(rows)} images have copies in the collection: calibrate with more")
    true, false = true[single], false[single]
    for threshold in np.unique(true):
        recalls = (true >= threshold).mean(axis=0)
        false_pairs = (false >= threshold).sum(axis=2).mean(axis=0)  # of an image, of each of its copies
        precision = recalls.mean() / (recalls.mean() + false_pairs[0] + false_pairs[1:].mean())
        if precision >= PRECISION:
            recalls = dict(zip(ALTERATIONS, recalls.tolist(), strict=True))
            return Calibration(float(threshold), float(precision), recalls, len(true))
    raise ValueError(
        f"no threshold tells copies from other images of {collection.vectors.path} with a precision of {PRECISION}: "
        f"the images are too alike for this network; give one with --threshold and look at the result"
    )


def describe(
    collection: Collection, groups: list[Group], progress: Callable[[int], None] = lambda images: None
) -> list[Member]:
    """Return the images of the groups, with their files' sizes."""
    members = []
    for number, one in enumerate(groups, 1):
        first: dict[str, str] = {}  # SHA-256 -> name
        for row, similarity in zip(one.rows.tolist(), one.similarities.tolist(), strict=True):
            name, same, size, pixels = collection.names[row], None, None, (None, None)
            if collection.source is not None:
                try:
                    size, sha256 = digest(collection.source, name)
                    same = first.setdefault(sha256, name)
                    pixels = images.open_image(collection.image(row)).size
                except (OSError, images.UnreadableImage):
                    pass  # moved or damaged since it was extracted: its vector still says what it was like
            members.append(Member(number, row, name, similarity, size, *pixels, same if same != name else None))
            progress(1)
    return members


def summary(collection: Collection, members: list[Member], threshold: float) -> str:
    """Return what was found, in a line."""
    groups, same = len({member.group for member in members}), sum(bool(member.same_file_as) for member in members)
    return (
        f"{len(members)} of {len(collection)} images are near-duplicates (similarity {threshold:.3f} or more), in {groups} "
        f"group{'s' * (groups != 1)}: {len(members) - groups} beyond the first of each, {same} of them the same file"
    )


def write_csv(file: TextIO, members: list[Member]) -> None:
    """Write a line a member, below a line of the columns' names."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(Member._fields)
    writer.writerows(member._replace(similarity=f"{member.similarity:.4f}") for member in members)


def write_html(path: Path, collection: Collection, members: list[Member], title: str) -> None:
    """Write a contact sheet, one file with its thumbnails in it, whole or not at all."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(HEAD.format(title=html.escape(title)))
        for number, ofgroup in groupby(members, lambda member: member.group):
            alike = list(ofgroup)
            file.write(f"<section><h2>Group {number} <small>{len(alike)} images</small></h2>\n<div>\n")
            file.writelines(_figure(collection, member, member is alike[0]) for member in alike)
            file.write("</div></section>\n")
        file.write("</main></body></html>\n")


def _star(
    graph: csr_array, vectors: np.ndarray, linked: np.ndarray, centre: int, free: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the free nodes (m,) that the centre reaches over nodes similar to it, and how similar they are."""
    unit = normalised(vectors[[linked[centre]]])[0]
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
    parts = [normalised(vectors[rows[i : i + step]]) @ unit for i in range(0, len(rows), step)]
    return np.clip(np.concatenate([np.empty(0, np.float32), *parts]), -1, 1)


def _query_blocks(vectors: np.ndarray, k: int, index: Index | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows (b,) and unit vectors (b, d); b such that the vectors of all their neighbours fit a block."""
    for rows, unit in blocks(vectors):
        step = max(1, len(rows) if index is None else BLOCK_BYTES // (4 * k * vectors.shape[1]))
        for start in range(0, len(rows), step):
            yield rows[start : start + step], unit[start : start + step]


def _nearest(
    vectors: np.ndarray, index: Index | None, unit: np.ndarray, k: int = NEIGHBOURS
) -> tuple[np.ndarray, np.ndarray]:
    """Return similarities and rows (b, <= k) of the nearest to unit vectors (b, d); row -1: no more."""
    if index is None:
        return exact_search(vectors, unit, k)
    return search(index.faiss, unit, k, vectors, k if index.reranked else 0)


def _altered(
    collection: Collection, count: int, progress: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows int64 (i,) of up to `count` images drawn at random, and of each its copies, one an alteration.

    The copies are unit vectors (i, a, d); the third array holds the pictures of image and copies, (i, 1 + a, p).
    """
    rows, vectors, pictures = [], [], []
    for row in np.random.default_rng(SEED).permutation(len(collection)).tolist():
        if len(rows) == count:
            break
        try:
            image = images.open_image(collection.image(row))
        except images.UnreadableImage:
            continue
        if collection.vectors.array[row].any() and _picture(image).any():  # of a blank image every part is a copy
            image, *copies = _with_copies(image)
            rows.append(row)
            vectors.append(normalised(np.stack([collection.encode(copy).vector for copy in copies])))
            pictures.append(_pictures([image, *copies]))
            progress(1)
    if not rows:
        raise ValueError(
            f"no image of the collection can be read in {collection.source.path}: give their folder with -d"
        )
    return np.array(rows), np.stack(vectors), np.stack(pictures)


def _has_copy(collection: Collection, pictures: np.ndarray, rows: np.ndarray) -> bool:
    """Return whether the image of one of the rows, or an alteration of it, has the pixels of a picture (1 + a, p)."""
    for row in rows.tolist():
        try:
            image = images.open_image(collection.image(row))
        except images.UnreadableImage:
            continue
        if (pictures @ _pictures(_with_copies(image)).T).max() >= SAME_PIXELS:
            return True
    return False


def _with_copies(image: Image.Image) -> list[Image.Image]:
    return [image, *(alter(image) for alter in ALTERATIONS.values())]


def _pictures(copies: list[Image.Image]) -> np.ndarray:
    return np.stack([_picture(copy) for copy in copies])


def _picture(image: Image.Image) -> np.ndarray:
    """Return the image small and grey, float32 (p,), of mean 0 and length 1: products are correlations."""
    small = np.asarray(image.convert("L").resize((PICTURE, PICTURE), Image.Resampling.BOX), dtype=np.float32)
    centred = small.ravel() - small.mean()
    return centred / max(np.linalg.norm(centred), 1e-6)


def _figure(collection: Collection, member: Member, is_first: bool) -> str:
    name = html.escape(member.name)
    if member.width:
        thumbnail = base64.b64encode(images.thumbnail(collection.image(member.row), THUMBNAIL)).decode()
        picture = f'<img src="data:image/jpeg;base64,{thumbnail}" alt="">'
        facts = f"{member.width} x {member.height}, {_size(member.bytes)}"
    else:
        picture, facts = '<span class="none">no longer readable</span>', ""
    if is_first:
        similarity = "most like the rest"
    else:
        similarity = "same file" if member.same_file_as else f"similarity {member.similarity:.3f}"
    return (
        f'<figure>{picture}<figcaption><b title="{name}">{name}</b>'
        f"<span>{similarity}</span><span>{facts}</span></figcaption></figure>\n"
    )


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
