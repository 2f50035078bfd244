"""Runs an extraction on a Ray cluster: the same blocks and the same code, in workers with one network each.

Shape letters: b images per block, d numbers per vector.
"""

import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from queue import Empty, Full, Queue
from threading import Event as Flag
from threading import Thread
from typing import Any, cast

import numpy as np

from similar_images.events import Event, Progress, Skipped
from similar_images.inputs.names import is_blank
from similar_images.networks.catalog import ENGINES
from similar_images.networks.hub_files import local_folder
from similar_images.ray.placement import count_slots, cpus_per_worker, default_workers
from similar_images.ray.session import AUTO, Session, connect
from similar_images.ray.worker import Job, PartRow, ResultRow, Trial, Worker, installed_version, try_network
from similar_images.vectors import file_records
from similar_images.vectors.extract import Block, BlockEncoder, EncodedBlock, LocalExecutor, NetworkChoice
from similar_images.vectors.items import Items
from similar_images.vectors.manifest import Runtime

PART_ROWS = 512  # sent to a worker at once; a lost worker's part is computed again
PARTS_PER_WORKER = 8  # at least, so that all workers end at about the same time
ROUND_ROWS = 2_000_000  # in the object store at once: their names, and pending vectors
POLL_SECONDS = 5  # between checks of the nodes
END_SECONDS = 30  # until the thread that reads from Ray ends
PARTS_AHEAD = 4  # that wait to be written
ERRORS = {kind.__name__: kind for kind in (OSError, ValueError)}


class LostWorkers(OSError):
    """Workers, or their node, died and were not replaced."""


@dataclass(frozen=True)
class RayExecutor(LocalExecutor):
    """Runs a network for images in `workers` on a Ray cluster, by default one per node, or as many as GPUs."""

    address: str = AUTO  # HOST:PORT
    gpus: float = 0  # per worker

    @contextmanager
    def start(self, items: Items, recorded: Runtime, progress: Progress) -> Iterator[BlockEncoder]:
        """Connect to the cluster and try the network in one worker.

        Raises ValueError or OSError as NetworkChoice.load does, and if the workers do not fit into the cluster.
        """
        with connect(self.address) as session:
            nodes = session.ray.nodes()
            workers = self.workers or default_workers(nodes, self.gpus)
            cpus = cpus_per_worker(nodes, workers, self.gpus)
            if session.ray.available_resources().get("CPU", 0) < cpus:
                progress(Event(note="waiting: other work has all CPUs of the cluster"))
            cores = max(1, int(cpus))
            choice = replace(_with_absolute_files(self.choice), threads=self.choice.threads or cores)
            trial = _try_in_worker(session, choice, recorded, cpus, self.gpus)
            for note in trial.notes:
                progress(Event(note=note))
            pool = WorkerPool(session, workers, cpus, self.gpus, progress)
            yield RayEncoder(pool, _new_job(items, choice, trial, cores))


@dataclass
class WorkerPool:
    """The workers of a run and the resources of each."""

    session: Session
    workers: int
    cpus: float  # per worker
    gpus: float  # per worker
    progress: Progress

    def count_slots(self) -> int:
        """Return the number of workers that fit on the living nodes."""
        return count_slots(self.session.ray.nodes(), self.cpus, self.gpus)

    def shrink(self, error: LostWorkers, has_progressed: bool) -> None:
        """Continue with the remaining nodes. Raises OSError if there are none, or if no block was computed."""
        slots = self.count_slots()
        if self.session.is_local or not slots or (slots >= self.workers and not has_progressed):
            raise OSError(f"{error}: check the cluster and rerun to resume") from error
        self.workers = min(slots, self.workers)
        self.progress(Event(note=f"{error}: continuing with {self.workers} workers"))
        self.session.rejoin()


class RayEncoder:
    """Encodes blocks of images in the workers of a pool."""

    def __init__(self, pool: WorkerPool, job: Job):
        self._pool, self._job = pool, job
        self.description, self.runtime = job.description, job.runtime
        self.block_size = job.runtime.batch or 1

    def encode(self, blocks: Iterable[Block]) -> Generator[EncodedBlock]:
        """Yield each block encoded, in order and once.

        The part of a lost worker is computed by another; without a node for it there is one worker less. Raises
        OSError or ValueError with the reason of a failed worker.
        """
        remaining = iter(blocks)
        while round_ := list(islice(remaining, max(1, ROUND_ROWS // self.block_size))):
            done = 0
            while done < len(round_):
                before = done
                try:
                    for encoded in self._encode_round(round_[done:]):
                        yield encoded
                        done += 1
                except LostWorkers as error:
                    self._pool.shrink(error, has_progressed=done > before)

    def _encode_round(self, blocks: list[Block]) -> Generator[EncodedBlock]:
        import ray.data

        pool = self._pool
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        rows = sum(len(block.rows) for block in blocks)
        parts = _split(blocks, min(PART_ROWS, rows // (PARTS_PER_WORKER * pool.workers)))
        items = [_part_row(i, part) for i, part in enumerate(parts)]
        dataset = ray.data.from_items(items, override_num_blocks=len(items)).map(
            cast(Any, Worker),  # Ray makes one in each actor
            fn_constructor_args=(self._job,),
            compute=ray.data.ActorPoolStrategy(size=pool.workers),
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
        )  # Ray replaces a worker that dies, and computes its part again
        for i, (part, row) in enumerate(zip(parts, _watch(dataset, pool), strict=True)):
            if row["failure"]:
                raise _failure_error(row["failure"])
            if row["part"] != i:
                raise OSError(f"expected part {i} from Ray, got {row['part']}: rerun to resume")
            yield from self._split_result(part, row)

    def _split_result(self, part: list[Block], row: ResultRow) -> Iterator[EncodedBlock]:
        """Yield the encoded blocks of a part."""
        vectors = np.frombuffer(row["vectors"], np.float32).reshape(-1, self.description.dimension)
        records = np.frombuffer(row["records"], file_records.DTYPE)
        reasons = dict(json.loads(row["skipped"]))
        for rows, names in part:
            found = zip(rows, names, strict=True)
            skipped = [Skipped(each, name, reasons[each]) for each, name in found if each in reasons]
            yield EncodedBlock(rows, vectors[: len(rows)], skipped, records[: len(rows)].copy())
            vectors, records = vectors[len(rows) :], records[len(rows) :]


def _watch(dataset: Any, pool: WorkerPool) -> Iterator[ResultRow]:
    """Yield the rows of a dataset. Raises LostWorkers if workers do not fit after a lost node: Ray would wait forever."""
    results: Queue[Any] = Queue(PARTS_AHEAD)
    stopped = Flag()
    reader = Thread(target=_read, args=(dataset, results, stopped), daemon=True)
    reader.start()
    try:
        while True:
            try:
                item = results.get(timeout=POLL_SECONDS)
            except Empty:
                if pool.count_slots() < pool.workers:
                    raise LostWorkers("a node of the cluster was lost") from None
                continue
            if item is None:
                return
            if isinstance(item, pool.session.ray.exceptions.RayError):
                raise LostWorkers(f"a worker was lost: {_last_line(item)}") from item
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        _end(dataset)
        reader.join(END_SECONDS)


def _read(dataset: Any, results: "Queue[Any]", stopped: Flag) -> None:
    """Put the rows of a dataset into `results`, then None, or an error."""

    def put(item: object) -> None:
        while not stopped.is_set():
            with suppress(Full):
                return results.put(item, timeout=POLL_SECONDS)

    try:
        for row in dataset.iter_rows():
            put(row)
            if stopped.is_set():
                return
        put(None)
    except BaseException as error:
        put(error)


def _end(dataset: Any) -> None:
    """End the execution of a dataset, for which Ray Data has no public method.

    Its thread would call Ray after ray.shutdown, and Ray would end the whole process.
    """
    executor = getattr(dataset, "_current_executor", None)
    if executor is not None:
        executor.shutdown(force=True)


def _try_in_worker(session: Session, choice: NetworkChoice, recorded: Runtime, cpus: float, gpus: float) -> Trial:
    task = session.ray.remote(num_cpus=cpus, num_gpus=gpus, max_calls=1)(try_network)
    try:
        trial: Trial | str = session.ray.get(task.remote(choice, recorded))
    except (session.ray.exceptions.RayError, ImportError) as error:  # a node lacks this package
        raise OSError(f"no worker could start: {_last_line(error)}") from error
    if isinstance(trial, str):
        raise _failure_error(trial)
    return trial


def _new_job(items: Items, choice: NetworkChoice, trial: Trial, decoders: int) -> Job:
    source = items.source
    if source is None:
        raise ValueError(f"expected images, got the texts of {items.list_file}")
    runtime = trial.runtime
    engine = runtime.name if runtime.name in ENGINES else None  # None: the network has only one
    return Job(
        choice=replace(choice, engine=engine, precision=runtime.precision, batch=runtime.batch),
        runtime=runtime,
        place=source.path.absolute(),
        allow_outside=source.allow_outside,
        known=next((name for name in items.names if not is_blank(name) and source.exists(name)), ""),
        limits=items.limits,
        decoders=decoders,
        description=trial.description,
        version=installed_version(),
    )


def _with_absolute_files(choice: NetworkChoice) -> NetworkChoice:
    """Return the choice for processes that run in another folder."""
    folder = local_folder(choice.name)
    return replace(
        choice,
        name=str(folder.resolve()) if folder else choice.name,
        model_file=choice.model_file and choice.model_file.absolute(),
        weights_file=choice.weights_file and choice.weights_file.absolute(),
    )


def _failure_error(failure: str) -> Exception:
    """Return the error of a worker's failure."""
    kind, message = json.loads(failure)
    return ERRORS[kind](message)


def _last_line(error: BaseException) -> str:
    """Return the last line of an error of Ray, which begins with the worker's traceback."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def _part_row(number: int, part: list[Block]) -> PartRow:
    rows = json.dumps([list(block.rows) for block in part])
    return {"part": number, "blocks": rows, "names": [name for block in part for name in block.names]}


def _split(blocks: list[Block], rows: int) -> list[list[Block]]:
    """Return the blocks in parts of about this many rows, at least one block each."""
    size = max(1, rows // max(len(block.rows) for block in blocks))
    return [blocks[start : start + size] for start in range(0, len(blocks), size)]
