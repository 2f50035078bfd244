"""The manifest of a collection in Milvus, beside the vectors: where it is, what is in it, and what was measured.

It is what a user names as the index, and it holds no credentials.
"""

import re
from pathlib import Path
from typing import Any

from similar_images.files import mismatch, read_json, relative_path, write_json
from similar_images.index import manifest as manifests
from similar_images.milvus.connection import checked, is_file
from similar_images.milvus.fields import Field
from similar_images.vectors.store import index_path

FORMAT = "similar-images milvus 1"
SUFFIX = ".milvus.json"
REBUILD = "rebuild it with similar-images build --milvus"
FORM = {key: form for key, form in manifests.FORM.items() if key != "sha256"} | {
    "uri": str,  # of a server, or a file relative to the manifest
    "ca": str | None,  # the certificate of an own authority, relative to the manifest
    "collection": str,  # its name in Milvus
    "index": {"type": str, "built_with": dict, "searched_with": dict},
    "columns": dict,  # column -> [field, digest of its values]
    "finds_parts": bool,
    "changing": bool,  # a removal was begun and is not known to be complete
    "n": int,
    "d": int,
    "bytes": int,
}


def milvus_path(vectors: Path) -> Path:
    """Return where the manifest of vectors in Milvus is: `photos.txt.saved_predictions.npy` has `photos.milvus.json`."""
    return vectors.with_name(index_path(vectors).name.removesuffix(".faiss.index") + SUFFIX)


def is_milvus(path: Path) -> bool:
    """Return whether an index is a manifest of Milvus, by its name."""
    return path.suffix == ".json"


def base(path: Path) -> Path:
    """Return the path that the names of a similarity's files begin with."""
    return path.with_suffix("")


def read(path: Path) -> dict:
    """Return a manifest. Raises ValueError, with the remedy, if it is damaged or names something that cannot be."""
    manifest = read_json(path, FORMAT, REBUILD)
    fault = mismatch(manifest, FORM) or manifests.fault(manifest)
    try:
        checked(manifest["uri"]) if not fault else None
        fields(manifest) if not fault else None
    except (TypeError, ValueError) as error:
        fault = str(error)
    if not fault and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", manifest["collection"]):
        fault = "collection: expected a name of Milvus"
    if fault:
        raise ValueError(f"{path} is damaged, {fault}; {REBUILD}")
    return manifest


def write(path: Path, manifest: dict) -> dict:
    """Write a manifest; return it."""
    written = {"format": FORMAT, **manifest}
    write_json(path, written)
    return written


def fields(manifest: dict) -> dict[str, Field]:
    """Return the columns that Milvus holds. Raises TypeError or ValueError if they are damaged."""
    found = {column: Field(*one) for column, one in manifest["columns"].items()}
    if any(not re.fullmatch(r"[a-z][A-Za-z0-9_]*", str(one.field)) for one in found.values()):
        raise ValueError("columns: expected names of fields")
    return found


def kept_uri(uri: str, path: Path) -> str:
    """Return a URI as the manifest at `path` has it, so that a file can be moved with it."""
    return relative_path(Path(uri), path.absolute().parent) if is_file(uri) else uri


def opened_uri(manifest: dict, path: Path) -> str:
    """Return the URI of a manifest at `path`."""
    uri = manifest["uri"]
    return str(path.parent / uri) if is_file(uri) else uri


def opened_ca(manifest: dict, path: Path) -> Path | None:
    """Return the certificate of a manifest at `path`, if it names one."""
    ca: Any = manifest["ca"]
    return path.parent / ca if ca else None
