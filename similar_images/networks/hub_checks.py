"""Checks of the files of a network in the form of the Hugging Face hub, before any library reads them.

Only safetensors, ONNX, JSON and vocabularies are read. Networks with code of their own are refused.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from similar_images.files import sha256

CONFIG, WEIGHTS, SHARDS = "config.json", "model.safetensors", "model.safetensors.index.json"
PREPARATIONS = ("preprocessor_config.json", "processor_config.json")
TOKENIZER = "tokenizer.json"
CONFIGS = (CONFIG, *PREPARATIONS, TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
VOCABULARIES = ("vocab.json", "merges.txt", "vocab.txt", *SENTENCEPIECE)
SMALL_FILES = (*CONFIGS, *VOCABULARIES)  # all files except the weights
MAX_SMALL_BYTES = 64 * 10**6  # the tokenizers with the largest vocabularies (Gemma) have 35 MB
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
ONNX_IMAGES = ("onnx/vision_model.onnx", "onnx/model.onnx")  # in order of preference
ONNX_WORDS = "onnx/text_model.onnx"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack")
SHA256, GIT_SHA1 = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{40}")  # names of blobs in the hub's cache

Config = Mapping[str, Any]  # the content of a JSON file


class Digests(NamedTuple):
    """Checksums of a network."""

    weights: str  # SHA-256 of each file of weights, separated by spaces
    files: str  # SHA-256 over the names and checksums of all files


def select_files(network: str, names: Iterable[str]) -> list[str]:
    """Return the files of a repository to download. Raises ValueError if no file has weights in a safe format."""
    names = set(names)
    small = [name for name in SMALL_FILES if name in names]
    if WEIGHTS in names:
        return [*small, WEIGHTS]
    shards = sorted(name for name in names if SHARD.fullmatch(name))
    if SHARDS in names and shards:
        return [*small, SHARDS, *shards]
    images = next((name for name in ONNX_IMAGES if name in names), None)
    if images is None:
        raise ValueError(
            f"{network} has neither {WEIGHTS} nor {ONNX_IMAGES[0]}, and other files of weights may contain code: "
            f"choose another network"
        )
    return [*small, images, *(name for name in (ONNX_WORDS,) if name in names)]


def check_folder(folder: Path, within: Path) -> Digests:
    """Return the checksums of the network in a folder whose files must all be in the folder `within`.

    Raises ValueError if the folder is not a network, is incomplete or altered, or may contain code.
    """
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} is not a network of the hub's form: it has no {CONFIG}")
    top = os.path.realpath(within)
    for file in sorted(folder.rglob("*")):
        if os.path.commonpath([top, os.path.realpath(file)]) != top:
            raise ValueError(f"{file} leads out of the folder and is not read: put the file itself there")
        if file.suffix in PICKLES and folder == within:  # the hub's cache may have files for other programs
            raise ValueError(f"{file} may contain code: only safetensors and ONNX are read; remove it")
    small = [folder / name for name in SMALL_FILES if (folder / name).is_file()]
    for file in small:
        check_size(file, file.stat().st_size)
    for file in small:
        if file.name in CONFIGS:
            _check_no_code(file, read_config(file))
    weights = find_weights(folder)
    sums = {file: _verify_checksum(file) for file in (*weights, *small)}
    listed = "\n".join(f"{sums[file]} {file.relative_to(folder).as_posix()}" for file in sorted(sums))
    return Digests(" ".join(sums[file] for file in weights), hashlib.sha256(listed.encode()).hexdigest())


def check_size(file: Path | str, size: int) -> None:
    """Raise ValueError if a file besides the weights is too large: parsing it takes many times its size in memory."""
    if size > MAX_SMALL_BYTES:
        raise ValueError(
            f"{file}: expected at most {MAX_SMALL_BYTES // 10**6} MB, got {size / 10**6:,.0f} MB; choose another network"
        )


def find_weights(folder: Path) -> list[Path]:
    """Return the files of weights. Raises ValueError if there are none, or a shard is missing."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / SHARDS).is_file():
        listed = read_config(folder / SHARDS).get("weight_map")
        names = {str(name) for name in listed.values()} if isinstance(listed, dict) else set()
        if foreign := [name for name in sorted(names) if not SHARD.fullmatch(name)]:
            raise ValueError(
                f"{folder / SHARDS}: expected names such as model-00001-of-00002.safetensors, got {foreign[0]!r:.100}"
            )
        shards = [folder / name for name in sorted(names)]
        if not shards or not all(file.is_file() for file in shards):
            raise ValueError(f"{folder / SHARDS} names missing files: download the network again")
        return shards
    images = next((folder / name for name in ONNX_IMAGES if (folder / name).is_file()), None)
    if images is None:
        raise ValueError(f"{folder} has no weights in a safe format: expected {WEIGHTS} or {ONNX_IMAGES[0]}")
    return [images, *(file for file in (folder / ONNX_WORDS,) if file.is_file())]


def read_config(file: Path) -> Config:
    """Return the object in a JSON file. Raises ValueError for anything else."""
    check_size(file, file.stat().st_size if file.is_file() else 0)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{file} cannot be read as JSON: restore it, or download the network again") from error
    if not isinstance(config, dict):
        raise ValueError(f"{file}: expected an object, got {type(config).__name__}")
    return config


def _check_no_code(file: Path, config: Any) -> None:
    """Raise ValueError if any part of a configuration names code to import."""
    parts = [config]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if "auto_map" in part:
                raise ValueError(f"{file} needs code of its own (auto_map), which never runs: choose another network")
            parts.extend(part.values())
        elif isinstance(part, list):
            parts.extend(one for one in part if isinstance(one, (dict, list)))


def _verify_checksum(file: Path) -> str:
    """Return the SHA-256 of a file. Raises ValueError for a blob in the hub's cache whose name is another checksum."""
    total, blob = sha256(file), Path(os.path.realpath(file)).name
    if not file.is_symlink():
        return total
    if GIT_SHA1.fullmatch(blob):
        content = file.read_bytes()
        own = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    else:
        own = total if SHA256.fullmatch(blob) else blob
    if own != blob:
        raise ValueError(f"{file} was altered: expected the sum {blob}, got {own}; delete it and download it again")
    return total
