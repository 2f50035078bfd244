"""Names, vectors and manifest on disk: read and check. Row i is line i.

Shape letters: n images, d numbers in a vector.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similar_images.files import read_json
from similar_images.inputs.names import names_digest, read_names
from similar_images.networks import catalog

FORMAT = "similar-images vectors 1"
SUFFIX = ".saved_predictions.npy"  # of 2022
NPY_MAGIC = b"\x93NUMPY"
DTYPES = ("float32", "float16")
BLOCK_BYTES = 64 * 2**20  # read at once
MANIFEST = {  # what the manifest holds, beside its format
    "network": dict,  # as catalog.describe gives it
    "files": dict,  # where the network came from: "model" or "weights", relative to the manifest
    "engine": dict,  # what computed it: "name", "precision" and "batch"; empty where that is not known
    "n": int,
    "d": int,
    "dtype": str,
    "rows_done": int,
    "names": dict,  # "file", relative to the manifest, and "sha256" over the n names
    "images": (str, type(None)),  # the folder of images, relative to the manifest; None: the names are texts
    "skipped": list,  # of row, name and reason
    "sha256": (str, type(None)),  # of the .npy, once it is whole
}


class Skipped(NamedTuple):
    row: int
    name: str
    reason: str


class Vectors(NamedTuple):
    """The vectors of a collection, memory-mapped, with their names and manifest."""

    path: Path
    array: np.ndarray | None  # (n, d) float32 or float16, read-only, not normalised; a skipped image's row is zeros
    names: list[str] | None  # n of them; None: there is no list
    manifest: dict | None  # None: made by another tool
    network: dict | None  # as catalog.describe gives it; None: not known
    images: Path | None  # the folder that names are relative to; None: not known

    @property
    def skipped(self) -> list[Skipped]:
        return [Skipped(**entry) for entry in self.manifest["skipped"]] if self.manifest else []


def vectors_path(names: Path) -> Path:
    """Return where the vectors of a list are: LIST.saved_predictions.npy."""
    return names.with_name(names.name + SUFFIX)


def list_path(vectors: Path) -> Path:
    """Return where the list of vectors is by its name: beside them, without their suffix, or ending in .txt."""
    stem = vectors.name.removesuffix(SUFFIX)
    return vectors.with_suffix(".txt") if stem == vectors.name else vectors.with_name(stem)


def manifest_path(vectors: Path) -> Path:
    return vectors.with_suffix(".json")


def skipped_path(vectors: Path) -> Path:
    """Return where the skipped images are listed, as CSV."""
    return vectors.with_suffix(".skipped.csv")


def index_path(vectors: Path) -> Path:
    """Return where the index of vectors is: `photos.txt.saved_predictions.npy` has `photos.faiss.index`."""
    stem = vectors.name.removesuffix(SUFFIX).removesuffix(".npy").removesuffix(".txt")
    return vectors.with_name(stem + ".faiss.index")


def fingerprint(array: np.ndarray, skipped: Iterable[int] = ()) -> str:
    """Return a SHA-256 over d, the dtype and rows 0, 1, 2, 4, 8, ... of vectors (n, d): cheap for any n.

    The fingerprint of the first rows stays the same when rows are appended. Rows that were `skipped` count as zeros,
    whatever they are since.
    """
    skipped = frozenset(skipped)
    digest = hashlib.sha256(f"{array.shape[1]} {array.dtype}".encode())
    row = 0
    while row < len(array):
        digest.update(np.ascontiguousarray(array[row] if row not in skipped else np.zeros_like(array[row])))
        row = max(1, 2 * row)
    return digest.hexdigest()


def block_rows(array: np.ndarray) -> int:
    """Return how many rows of `array` are read at once, in float32."""
    return max(1, BLOCK_BYTES // (4 * array.shape[1]))


def open_array(path: Path) -> np.ndarray:
    """Return the vectors (n, d) in a `.npy`, memory-mapped, after checks of its header and size.

    Raises ValueError for a file that is no `.npy`, is pickled, truncated, empty, or no plain matrix of floats.
    """
    with path.open("rb") as file:
        if file.read(len(NPY_MAGIC)) != NPY_MAGIC:
            raise ValueError(f"{path} is not a .npy file of vectors")
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as vectors, it is truncated or not a plain array: {error}") from error
    if array.ndim != 2 or array.dtype not in DTYPES or not array.flags.c_contiguous:
        raise ValueError(
            f"{path}: expected vectors of shape (n, d), float32 or float16, got shape {array.shape}, {array.dtype}"
        )
    expected, size = array.offset + array.nbytes, path.stat().st_size
    if 0 in array.shape or size != expected:
        raise ValueError(f"{path}: expected {expected} bytes for {array.shape} {array.dtype}, got {size}")
    return array


def open_vectors(path: Path, names: Path | None = None, network: str | None = None) -> Vectors:
    """Open vectors with what belongs to them; `names` and `network` matter where there is no manifest.

    Raises ValueError where names, vectors and manifest do not fit each other.
    """
    array = open_array(path)
    if not manifest_path(path).exists():
        names = names or list_path(path)
        lines = read_names(names) if names.exists() else None
        if lines is not None and len(lines) != len(array):
            raise ValueError(f"{names} has {len(lines)} lines, but {path} has {len(array)} rows: expected one a row")
        return Vectors(path, array, lines, None, _known_network(array, network), None)
    manifest = read_manifest(path)
    if manifest["sha256"] is None:
        raise ValueError(
            f"{path} is unfinished, {manifest['rows_done']} of {manifest['n']} rows: run the same extraction "
            f"as before, it goes on where it stopped"
        )
    if array.shape != (manifest["n"], manifest["d"]) or array.dtype != manifest["dtype"]:
        raise ValueError(
            f"{path} is not what its manifest says: expected {(manifest['n'], manifest['d'])} {manifest['dtype']}, "
            f"got {array.shape} {array.dtype}; make the vectors again with --overwrite"
        )
    names = names or path.parent / manifest["names"]["file"]
    lines = read_names(names)[: len(array)]  # the list may have grown since
    if names_digest(lines) != manifest["names"]["sha256"]:
        raise ValueError(f"{names} is not the list that {path} was made from: lines were changed; restore it")
    if network is not None and network != manifest["network"]["name"]:
        raise ValueError(f"{path} was made with {manifest['network']['name']}, not with {network}")
    images = path.parent / manifest["images"] if manifest["images"] is not None else None
    return Vectors(path, array, lines, manifest, manifest["network"], images)


def read_manifest(path: Path) -> dict:
    """Return the manifest of the vectors at `path`. Raises ValueError where it is damaged."""
    manifest = read_json(manifest_path(path), FORMAT)
    manifest.setdefault("engine", {})  # the first manifests did not name it
    for key, kind in MANIFEST.items():
        if not isinstance(manifest.get(key), kind):
            raise ValueError(f"{manifest_path(path)} is damaged at '{key}': make the vectors again with --overwrite")
    return manifest


def _known_network(array: np.ndarray, name: str | None) -> dict | None:
    if name is None:
        name = "vgg16" if array.shape[1] == catalog.NETWORKS["vgg16"].dimension else None
    if name is None:
        return None
    known = catalog.describe(catalog.NETWORKS[name])
    if known["dimension"] != array.shape[1]:
        raise ValueError(f"expected vectors of {name}, (n, {known['dimension']}), got {array.shape}")
    return known
