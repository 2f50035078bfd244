"""Code that runs on the nodes of a Ray cluster: a worker with a network and decoding processes.

Errors with a remedy are returned as data: Ray would retry, and wrap them in tracebacks.
"""

import json
import socket
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TypedDict

import numpy as np

from similar_images.events import Event
from similar_images.inputs.images import Limits
from similar_images.inputs.names import escape_line
from similar_images.inputs.sources import Location, open_source
from similar_images.networks.description import NetworkDescription
from similar_images.vectors.extract import Block, ImageEncoder, NetworkChoice
from similar_images.vectors.manifest import Runtime


class PartRow(TypedDict):
    """Blocks to encode, as a row of Ray Data."""

    part: int
    blocks: str  # JSON: the rows of each block
    names: list[str]


class ResultRow(TypedDict):
    """The encoded blocks of a part, or the failure of its worker."""

    part: int
    vectors: bytes
    skipped: str  # JSON: rows and reasons
    records: bytes  # of the files
    failure: str  # as by `describe_failure`; empty: none


@dataclass(frozen=True)
class Job:
    """The task of every worker."""

    choice: NetworkChoice
    runtime: Runtime
    place: Location  # of the images
    allow_outside: bool
    known: str  # the name of an existing image
    limits: Limits
    decoders: int  # processes
    description: NetworkDescription  # another network is refused
    version: str | None  # of this package; another version is refused


@dataclass(frozen=True)
class Trial:
    """A network loaded by one worker."""

    description: NetworkDescription
    runtime: Runtime
    notes: tuple[str, ...]


class Worker:
    """An actor that encodes parts of the rows, with one network and its own decoding processes."""

    def __init__(self, job: Job):
        self._failure = ""
        try:
            self._start(job)
        except (OSError, ValueError) as error:
            self._failure = describe_failure(error)

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
        encoder, runtime = job.choice.load(job.runtime)
        if encoder.description != job.description:
            raise ValueError(f"the network {encoder.description.name} differs on this node: check its weights")
        self._encoder = ImageEncoder(source, encoder, runtime, job.limits, job.decoders, job.known)

    def __call__(self, part: PartRow) -> ResultRow:
        vectors, skipped, records = [], [], []
        try:
            if not self._failure:
                names = iter(part["names"])
                blocks = [Block(rows, [next(names) for _ in rows]) for rows in json.loads(part["blocks"])]
                for encoded in self._encoder.encode(blocks):
                    vectors.append(encoded.vectors.tobytes())
                    records.append(b"" if encoded.records is None else encoded.records.tobytes())
                    skipped += [(entry.row, entry.reason) for entry in encoded.skipped]
        except (OSError, ValueError) as error:
            self._failure = describe_failure(error)
        return {
            "part": part["part"],
            "vectors": b"".join(vectors),
            "skipped": json.dumps(skipped),
            "records": b"".join(records),
            "failure": self._failure,
        }


def try_network(choice: NetworkChoice, recorded: Runtime) -> Trial | str:
    """Load a network in a worker and encode black images; return it, or its failure as by `describe_failure`.

    A network that kills its process does so here, where Ray retries only a few times.
    """
    notes: list[str] = []

    def collect(event: Event) -> None:
        notes.append(event.note)

    try:
        encoder, runtime = choice.load(recorded, collect)
        encoder.encode(np.zeros((runtime.batch or 1, *encoder.preparation.shape), np.uint8))
    except (OSError, ValueError) as error:
        return describe_failure(error)
    return Trial(encoder.description, runtime, tuple(notes))


def installed_version() -> str | None:
    try:
        return version("similar-images")
    except PackageNotFoundError:  # in a clone
        return None


def describe_failure(error: Exception) -> str:
    """Return the kind and message of an error, with the node, as JSON."""
    kind = "ValueError" if isinstance(error, ValueError) else "OSError"
    return json.dumps([kind, f"on node {socket.gethostname()}: {error}"])
