"""The manifest beside an index, and how both are replaced so that readers always see a matching pair.

While an index is replaced, its manifest holds the new entry and, as "previous", the one of the index that is still in
place. So whenever a reader comes, and whenever a writer is killed, the manifest describes the index file that is there.
"""

import time
from pathlib import Path
from typing import Any

from similar_images.files import mismatch, read_json, sha256, write_json
from similar_images.vectors.store import DIGEST_ROWS

FORMAT = "similar-images index 1"
REBUILD = "rebuild it with similar-images build"
TEXT, NUMBER = str | None, int | float
FORM = {
    "recipe": str,
    "parameters": {"reranked": int},
    "removed": [int],  # rows
    "target": dict | None,
    "built_recall": NUMBER,  # at the last complete build
    "vectors": {"file": str, "n": int, "fingerprint": str, "names": TEXT, "network": dict | None},
    "sha256": str,  # of the index
}
SIMILARITY = {  # None for the cosine
    "name": str,
    "n": int,  # vectors that it was fitted on
    "dimension": int,
    "vectors": str,
    "built_moved": NUMBER,
    "moved": NUMBER,
}
PARTS = {  # None, or not there, for an index in one file
    "size": int,  # rows, at most, that a part is given
    "files": [{"file": str, "n": int, "bytes": int, "sha256": str, "sample": str}],
}
OPTIONAL: dict[str, dict] = {  # not in the first manifests
    "measured": {"recall": NUMBER, "recall_alone": NUMBER, "queries": int},
    "similarities": {"percentiles": [NUMBER], "random_pairs": [NUMBER], "nearest": [NUMBER]},
}
TRIES = 200  # of a reader while writers replace the index again and again
PAUSE = 0.01  # seconds between them


def manifest_path(index: Path) -> Path:
    return index.with_name(index.name + ".json")


def read_manifest(index: Path) -> dict | None:
    """Return the manifest of an index as it is on disk, or None. Raises ValueError if it is damaged."""
    path = manifest_path(index)
    try:
        manifest = read_json(path, FORMAT)
    except FileNotFoundError:
        return None
    previous = manifest.get("previous")
    found = _fault(manifest) or (previous is not None and mismatch(previous, {"sha256": str}, "previous."))
    if not found and previous and "recipe" in previous:
        found = _fault(previous)
    if found:
        raise ValueError(f"its manifest is damaged, {found}")
    return manifest


def matching(index: Path) -> tuple[dict | None, tuple]:
    """Return the manifest entry of the index file that is in place, None if it has none, and the file's identity.

    Raises ValueError if the manifest is damaged, or if it is of another file.
    """
    seen = None
    for _ in range(TRIES):
        manifest, before = read_manifest(index), identity(index)
        if manifest is None:
            return None, before
        digest = sha256(index)
        for entry in (manifest, manifest.get("previous") or {}):
            if entry.get("sha256") == digest and identity(index) == before:
                return _alone(entry), before
        if (manifest, before) == seen:  # nobody is replacing it
            break
        seen = manifest, before
        time.sleep(PAUSE)
    raise ValueError("it does not match its manifest, it was altered or truncated")


def identity(path: Path) -> tuple:
    """Return what changes when a file is replaced or rewritten."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def replace(index: Path, partial: Path, manifest: dict) -> dict:
    """Put a complete new index in the place of the old one, with its manifest; return that. The caller holds the lock."""
    manifest = {"format": FORMAT, **manifest, "sha256": sha256(partial)}
    manifest.pop("previous", None)
    write_json(manifest_path(index), manifest | {"previous": _previous(index)})
    partial.replace(index)
    write_json(manifest_path(index), manifest)
    return manifest


def _previous(index: Path) -> dict | None:
    """Return the entry of the index that is in place: the least is its SHA-256."""
    if not index.exists():
        return None
    try:
        entry, _ = matching(index)
    except ValueError:  # damaged: it stays so until it is replaced
        entry = None
    return entry or {"sha256": sha256(index)}


def _alone(entry: dict) -> dict | None:
    """Return an entry without the previous one; None if it only says that there was no manifest."""
    return {key: value for key, value in entry.items() if key != "previous"} if "recipe" in entry else None


def fault(entry: dict) -> str | None:
    """Return what is damaged in the parts of an entry that are not required; None if nothing is."""
    found = mismatch(entry, {key: form for key, form in OPTIONAL.items() if key in entry})
    if not found and entry.get("similarity") is not None:
        found = mismatch(entry["similarity"], SIMILARITY, "similarity.")
        found = found or mismatch(entry["similarity"].get("transform"), TEXT, "similarity.transform.")
    if not found and entry.get("parts") is not None:
        found = mismatch(entry["parts"], PARTS, "parts.")
    if not found and "similarities" in entry:
        lengths = {len(entry["similarities"][key]) for key in OPTIONAL["similarities"]}
        found = "similarities: expected lists of one length" if len(lengths) > 1 or 0 in lengths else None
    source = entry["vectors"]
    if not found and "blocks" in source:
        found = mismatch(source, {"blocks": [str], "modified": int | None}, "vectors.")
        if not found and len(source["blocks"]) != -(-source["n"] // DIGEST_ROWS):
            found = "vectors.blocks: expected one for each block of rows"
    return found or mismatch(source.get("skipped", []), [int], "vectors.skipped.")


def _fault(entry: Any) -> str | None:
    return mismatch(entry, FORM) or fault(entry)
