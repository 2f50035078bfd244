"""Images to vectors on a Ray cluster: the same blocks, encoded by the same code, in workers with a network each.

Shape letters: b images in a block, d numbers in a vector.
"""

import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, cast

import numpy as np

from similar_images.cluster.placement import cpus_each, default_workers, room
from similar_images.cluster.ray_session import Session
from similar_images.cluster.worker import Job, Loading, Worker, installed_version, load
from similar_images.events import Skipped
from similar_images.inputs.images import LIMITS, Limits
from similar_images.inputs.names import is_blank
from similar_images.inputs.sources import Source
from similar_images.networks.catalog import ENGINES
from similar_images.networks.description import NetworkDescription
from similar_images.networks.hub_files import Tell
from similar_images.vectors.from_images import Encoded

PART_ROWS = 512  # a worker gets at once; what is lost with it is computed again
PARTS_EACH = 8  # parts for each worker, at least, so that all end at about the same time
ROUND_ROWS = 2_000_000  # in the object store at once: their names, and the vectors that are not written yet
POLL_SECONDS = 5  # between looks at the nodes
END_SECONDS = 30  # for the thread that reads from Ray to end
AHEAD = 4  # parts that wait to be written
ERRORS = {kind.__name__: kind for kind in (OSError, ValueError)}


class LostWorkers(OSError):
    """Workers, or their node, died and are not replaced."""


class Workers:
    """Workers on a Ray cluster that encode the images of one source."""

    def __init__(
        self,
        session: Session,
        source: Source,
        names: list[str],
        loading: Loading,
        recorded: dict,
        max_memory: int,
        workers: int | None = None,
        gpus: float = 0,
        limits: Limits = LIMITS,
        tell: Tell = lambda sentence: None,
    ):
        """Load the network in one worker, to see what it is: `description`, and `computed` as by load_encoder.

        Raises ValueError or OSError as it does, and where the workers do not fit into the cluster.
        """
        self._session, self._names, self._gpus, self._tell = session, names, gpus, tell
        self._count = workers or default_workers(session.ray.nodes(), gpus)
        self._cpus = cpus_each(session.ray.nodes(), self._count, gpus)
        cores = max(1, int(self._cpus))
        loading = loading.absolute()._replace(threads=loading.threads or cores)
        if session.ray.available_resources().get("CPU", 0) < self._cpus:
            tell("waiting: other work has all CPUs of the cluster")
        first = session.ray.remote(num_cpus=self._cpus, num_gpus=gpus, max_calls=1)(load)
        try:
            answer = json.loads(session.ray.get(first.remote(loading, recorded, max_memory)))
        except (session.ray.exceptions.RayError, ImportError) as error:  # a node lacks this package
            raise OSError(f"no worker could start: {_reason(error)}") from error
        _raise_failed(answer)
        for sentence in answer["told"]:
            tell(sentence)
        self.description, self.computed = NetworkDescription.from_json(answer["description"]), answer["computed"]
        loading = loading._replace(**_chosen(self.computed))
        place = source.path.absolute()
        known = next((name for name in names if not is_blank(name) and source.exists(name)), "")
        where = (place, source.allow_outside, known)
        self._job = Job(loading, *where, limits, cores, self.description, installed_version())

    def encoded(self, blocks: Iterable[Iterable[int]]) -> Generator[Encoded]:
        """Yield the same as from_images.encoded for these blocks of rows, in order and each once.

        What a lost worker had is computed by another; without a node for it there is one worker fewer. Raises OSError
        or ValueError with the reason of a worker that cannot go on.
        """
        remaining = iter(list(block) for block in blocks)
        while round_ := _first_rows(remaining, ROUND_ROWS):
            done = 0
            while done < len(round_):
                before = done
                try:
                    for encoded in self._round(round_[done:]):
                        yield encoded
                        done += 1
                except LostWorkers as error:
                    self._renew(error, has_progressed=done > before)

    def _round(self, blocks: list[list[int]]) -> Generator[Encoded]:
        import ray.data

        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        parts = _parts(blocks, min(PART_ROWS, sum(map(len, blocks)) // (PARTS_EACH * self._count)))
        items = [
            {"part": i, "blocks": json.dumps(part), "names": [self._names[row] for block in part for row in block]}
            for i, part in enumerate(parts)
        ]
        encoded = ray.data.from_items(items, override_num_blocks=len(items)).map(
            cast(Any, Worker),  # Ray makes one in each actor
            fn_constructor_args=(self._job,),
            compute=ray.data.ActorPoolStrategy(size=self._count),
            num_cpus=self._cpus,
            num_gpus=self._gpus,
        )  # Ray replaces a worker that dies, and computes its part again
        for i, (part, answer) in enumerate(zip(parts, self._watched(encoded), strict=True)):
            _raise_failed(answer)
            if answer["part"] != i:
                raise OSError(f"expected part {i} from Ray, got {answer['part']}: rerun to resume")
            vectors = np.frombuffer(answer["vectors"], np.float32).reshape(-1, self.description.dimension)
            skipped = {row: Skipped(row, self._names[row], reason) for row, reason in json.loads(answer["skipped"])}
            for block in part:
                yield block, vectors[: len(block)], [skipped[row] for row in block if row in skipped]
                vectors = vectors[len(block) :]

    def _watched(self, encoded: Any) -> Iterator[dict]:
        """Yield what Ray yields, unless a node is lost and its workers have no place elsewhere: Ray would wait for ever."""
        results: Queue = Queue(AHEAD)
        stopped = Event()

        def put(item: object) -> None:
            while not stopped.is_set():
                with suppress(Full):
                    return results.put(item, timeout=POLL_SECONDS)

        def read() -> None:
            try:
                for row in encoded.iter_rows():
                    put(row)
                    if stopped.is_set():
                        return
                put(None)
            except BaseException as error:
                put(error)

        reader = Thread(target=read, daemon=True)
        reader.start()
        try:
            while True:
                try:
                    item = results.get(timeout=POLL_SECONDS)
                except Empty:
                    if room(self._session.ray.nodes(), self._cpus, self._gpus) < self._count:
                        raise LostWorkers("a node of the cluster was lost") from None
                    continue
                if item is None:
                    return
                if isinstance(item, self._session.ray.exceptions.RayError):
                    raise LostWorkers(f"a worker was lost: {_reason(item)}") from item
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stopped.set()
            _end(encoded)
            reader.join(END_SECONDS)

    def _renew(self, error: LostWorkers, has_progressed: bool) -> None:
        """Begin again with the nodes that are left. Raises OSError if there is none, or nothing was done meanwhile."""
        fit = room(self._session.ray.nodes(), self._cpus, self._gpus)
        if self._session.is_local or not fit or (fit >= self._count and not has_progressed):
            raise OSError(f"{error}: see to the cluster and rerun to resume") from error
        self._tell(f"{error}: continuing with {min(fit, self._count)} workers")
        self._count = min(fit, self._count)
        self._session.rejoin()


def _end(encoded: Any) -> None:
    """End what executes a dataset of Ray Data, for which it has no public method.

    Its thread would call Ray after ray.shutdown, at which Ray ends the whole process.
    """
    executor = getattr(encoded, "_current_executor", None)
    if executor is not None:
        executor.shutdown(force=True)


def _chosen(computed: dict) -> dict:
    """Return the choices of the first worker as a Loading has them; a network with one backend names none."""
    engine = computed["name"] if computed["name"] in ENGINES else None
    return {"engine": engine, "precision": computed["precision"], "batch": computed["batch"]}


def _raise_failed(answer: dict) -> None:
    if answer["failed"]:
        kind, message = json.loads(answer["failed"])
        raise ERRORS[kind](message)


def _reason(error: BaseException) -> str:
    """Return the last line of an error of Ray, which has the worker's traceback before it."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def _first_rows(blocks: Iterator[list[int]], most: int) -> list[list[int]]:
    """Return the next blocks, of at most so many rows if they have one each."""
    first = next(blocks, None)
    return [] if first is None else [first, *islice(blocks, most // max(1, len(first)) - 1)]


def _parts(blocks: list[list[int]], rows: int) -> list[list[list[int]]]:
    """Return the blocks in parts of about so many rows, a block at least."""
    each = max(1, rows // max(map(len, blocks)))
    return [blocks[start : start + each] for start in range(0, len(blocks), each)]
