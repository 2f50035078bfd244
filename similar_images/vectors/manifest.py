"""The manifest of vectors: what made them, how many rows are done, and which were skipped."""

from pathlib import Path

from similar_images.files import mismatch, read_json, relative_path
from similar_images.inputs.images import DECODING_VERSION
from similar_images.inputs.names import names_digest
from similar_images.inputs.sources import Location, parse_location
from similar_images.networks.description import NetworkDescription
from similar_images.networks.hub_files import versioned

FORMAT = "similar-images vectors 1"
HEAD_BYTES = 200  # of a manifest, which begins with its format
DTYPES = ("float32", "float16")
TEXT = str | None
MANIFEST = {  # the form of the manifest
    "network": {"name": str, "dimension": int, "weights": TEXT},  # see NetworkDescription
    "files": dict,  # where the network came from: "model" or "weights", relative to the manifest
    "engine": dict,  # the backend that computed it: "name", "precision" and "batch"; empty if not known
    "n": int,
    "d": int,
    "dtype": str,
    "rows_done": int,
    "names": {"file": str, "sha256": str},  # relative to the manifest; over the n names
    "images": TEXT,  # the folder of images, relative to the manifest, or its address; None: the names are texts
    "allow_outside": bool,  # whether names may lead out of that folder
    "decoding": int | None,  # images.DECODING_VERSION when the rows were computed; None for texts
    "skipped": [{"row": int, "name": str, "reason": str}],
    "sha256": TEXT,  # of the .npy, once it is complete
    "sample": TEXT,  # its fingerprint over SAMPLED rows, likewise
    "blocks": list | None,  # digests of all its rows in blocks, likewise
}
EARLIER: dict[str, object] = {
    "engine": {},
    "allow_outside": False,
    "decoding": 1,
    "sample": None,
    "blocks": None,
}  # for manifests of before


def manifest_path(vectors: Path) -> Path:
    return vectors.with_suffix(".json")


def has_manifest(path: Path) -> bool:
    """Return whether vectors have a manifest of this package beside them; only its beginning is read."""
    try:
        with manifest_path(path).open("rb") as file:
            return f'"{FORMAT}"'.encode() in file.read(HEAD_BYTES)
    except OSError:
        return False


def new_manifest(
    path: Path,
    network: NetworkDescription,
    names: list[str],
    names_file: Path,
    images: Location | None,
    dtype: str,
    files: dict | None = None,
    engine: dict | None = None,
    allow_outside: bool = False,
) -> dict:
    """Return the manifest of vectors of which no row is done."""
    return {
        "format": FORMAT,
        "network": network.to_json(),
        "files": {key: relative_path(Path(file), path.parent) for key, file in (files or {}).items() if file},
        "engine": engine or {},
        "n": len(names),
        "d": network.dimension,
        "dtype": dtype,
        "rows_done": 0,
        "names": {"file": relative_path(names_file, path.parent), "sha256": names_digest(names)},
        "images": _recorded_place(images, path.parent),
        "allow_outside": allow_outside,
        "decoding": None if images is None else DECODING_VERSION,
        "skipped": [],
        "sha256": None,
        "sample": None,
        "blocks": None,
    }


def images_of(manifest: dict, path: Path) -> Location | None:
    """Return where the images of the vectors at `path` are; None for texts."""
    if manifest["images"] is None:
        return None
    place = parse_location(manifest["images"])
    return path.parent / place if isinstance(place, Path) else place


def recorded_network(path: Path) -> str | None:
    """Return the network that made the vectors at `path`, as loader.load takes it; None if that cannot be read."""
    try:
        return network_of(read_manifest(path), path)
    except (OSError, ValueError):
        return None


def network_of(manifest: dict, path: Path) -> str:
    """Return the network of a manifest as loader.load takes it: that of a folder by its path, of the hub by its commit."""
    known = NetworkDescription.from_json(manifest["network"])
    if known.source == "folder" and "model" in manifest["files"]:
        return str(path.parent / manifest["files"]["model"])
    return versioned(known)


def read_manifest(path: Path) -> dict:
    """Return the manifest of the vectors at `path`. Raises ValueError if it is damaged."""
    manifest = EARLIER | read_json(manifest_path(path), FORMAT)
    fault = mismatch(manifest, MANIFEST) or mismatch(manifest["blocks"] or [], [str], "blocks.")
    if not fault and not (
        0 <= manifest["rows_done"] <= manifest["n"] and manifest["d"] and manifest["dtype"] in DTYPES
    ):
        fault = f"{manifest['rows_done']} of {manifest['n']} rows of {manifest['d']} {manifest['dtype']}"
    if not fault and any(entry["row"] >= manifest["n"] for entry in manifest["skipped"]):
        fault = f"a skipped row beyond the {manifest['n']} rows"
    if fault:
        raise ValueError(f"{manifest_path(path)} is damaged, {fault}: rebuild the vectors with --overwrite")
    return manifest


def _recorded_place(images: Location | None, folder: Path) -> str | None:
    return relative_path(images, folder) if isinstance(images, Path) else images and str(images)
