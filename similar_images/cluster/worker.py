"""What runs on the nodes of a Ray cluster: a worker with a network and processes that decode.

Errors that a user can act on come back as data: Ray would try again, and wrap them in tracebacks.
"""

import json
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from similar_images.inputs.images import Limits
from similar_images.inputs.names import escape_line
from similar_images.inputs.sources import open_source
from similar_images.networks.description import NetworkDescription
from similar_images.networks.hub_files import folder_of
from similar_images.vectors.from_images import BatchEncoder, load_encoder


class Loading(NamedTuple):
    """What a network is loaded with, as loader.load takes it, and how it computes; None: the worker's choice."""

    network: str
    model_file: Path | None = None
    weights_file: Path | None = None
    resampling: str | None = None
    engine: str | None = None
    precision: str | None = None
    threads: int | None = None
    batch: int | None = None

    def absolute(self) -> "Loading":
        """Return the same for a process that runs in another folder."""
        folder, files = folder_of(self.network), (self.model_file, self.weights_file)
        model_file, weights_file = (file and file.absolute() for file in files)
        network = str(folder.resolve()) if folder else self.network
        return self._replace(network=network, model_file=model_file, weights_file=weights_file)


class Job(NamedTuple):
    """What every worker needs to know."""

    loading: Loading
    place: Any  # of the images, as open_source takes it
    allow_outside: bool  # likewise
    known: str  # a name that is there
    limits: Limits
    decoders: int
    description: NetworkDescription  # another network is refused
    version: str | None  # of this package; likewise


class Worker:
    """Encodes parts of the rows: an actor, with a network and processes that decode as long as it lives."""

    def __init__(self, job: Job):
        self._failed = ""
        try:
            self._start(job)
        except (OSError, ValueError) as error:
            self._failed = _failure(error)

    def _start(self, job: Job) -> None:
        if installed_version() != job.version:
            raise ValueError(
                f"expected similar-images {job.version}, got {installed_version()}: install the same on every node"
            )
        source = open_source(job.place, job.allow_outside)
        if not source.exists() or not source.exists(job.known):
            raise FileNotFoundError(
                f"{escape_line(str(source.path / job.known))} is not there: images must be on storage that all nodes share, under the same path"
            )
        encoder, _ = load_encoder({}, **job.loading._asdict())
        if encoder.description != job.description:
            raise ValueError(f"the network {encoder.description.name} is another one here: see to its weights")
        batch = job.loading.batch
        assert batch is not None
        self._encode = BatchEncoder(source, encoder, batch, job.limits, job.decoders, job.known).__enter__()

    def __call__(self, part: dict) -> dict:
        vectors, skipped = [], []
        try:
            if not self._failed:
                blocks = json.loads(part["blocks"])
                names = dict(zip((row for block in blocks for row in block), part["names"], strict=True))
                for _, some, unread in self._encode(names, blocks):
                    vectors.append(some.tobytes())
                    skipped += [(entry.row, entry.reason) for entry in unread]
        except (OSError, ValueError) as error:
            self._failed = _failure(error)
        return {
            "part": part["part"],
            "vectors": b"".join(vectors),
            "skipped": json.dumps(skipped),
            "failed": self._failed,
        }


def load(loading: Loading, recorded: dict, max_memory: int) -> str:
    """Load a network in a worker and encode black images; return what it is, and how it computes, as JSON.

    One that kills its process does so here, where Ray tries a few times only.
    """
    told: list[str] = []
    try:
        encoder, computed = load_encoder(recorded, **loading._asdict(), max_memory=max_memory, tell=told.append)
        encoder.encode(np.zeros((computed["batch"], *encoder.preparation.shape), np.uint8))
    except (OSError, ValueError) as error:
        return json.dumps({"failed": _failure(error)})
    return json.dumps({"description": encoder.description.to_json(), "computed": computed, "told": told, "failed": ""})


def installed_version() -> str | None:
    try:
        return version("similar-images")
    except PackageNotFoundError:  # in a clone
        return None


def _failure(error: Exception) -> str:
    kind = "ValueError" if isinstance(error, ValueError) else "OSError"
    return json.dumps([kind, f"on node {socket.gethostname()}: {error}"])
