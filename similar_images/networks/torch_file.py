"""Read the tensors of a file in PyTorch's legacy format, used before version 1.6, without PyTorch.

The file has pickles of a magic number, a version, the system, the tensors and the keys of their storages, followed by
the numbers of each storage. A pickle can call any function by its name: only the four for tensors are allowed.
Source: torch/serialization.py of PyTorch 1.5, _legacy_save.
"""

import hashlib
import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

Tensors = Mapping[str, np.ndarray]  # by their names


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int  # in numbers, as the strides
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    **{("torch", name): dtype for name, dtype in DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return ALLOWED[module, name]

    def persistent_load(self, reference: Any) -> _Storage:
        _, dtype, key, *_ = reference
        return _Storage(key, dtype)


def read_tensors(path: Path, expected: str) -> Tensors:
    """Return the tensors of a file whose SHA-256 must be `expected`.

    Raises OSError if the file cannot be read, ValueError if its checksum or format differs.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ValueError(f"{path} is damaged or altered: expected the SHA-256 {expected}, got {found}")
    try:
        return _parse(io.BytesIO(content))
    except Exception as error:  # a pickle raises anything
        raise ValueError(f"{path} is not a file of tensors in PyTorch's legacy format: {error}") from error


def _load(file: io.BytesIO) -> Any:
    """Return the content of the next pickle. The memory for a memo grows with its largest index: a large one is refused."""
    start, size = file.tell(), len(file.getbuffer())
    for opcode, index, _ in pickletools.genops(file):
        if opcode.name.endswith("PUT") and isinstance(index, int) and index > size:
            raise ValueError(f"expected at most {size} values, got the index {index}")
    file.seek(start)
    return _Unpickler(file).load()


def _parse(file: io.BytesIO) -> Tensors:
    if (_load(file), _load(file)) != (MAGIC, VERSION):
        raise ValueError("expected its magic number and version")
    _load(file)  # the system
    tensors = _load(file)
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    storages = {}
    for key in _load(file):
        count = int.from_bytes(file.read(8), "little")
        size = count * dtypes[key].itemsize
        numbers = file.read(size)
        if len(numbers) != size:
            raise ValueError("it is truncated")
        storages[key] = np.frombuffer(numbers, dtypes[key])
    return {name: _array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _array(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    strides = tuple(storage.itemsize * stride for stride in tensor.strides)  # NumPy refuses strides beyond the buffer
    return np.ndarray(tensor.shape, storage.dtype, storage, storage.itemsize * tensor.offset, strides)
