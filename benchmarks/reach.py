"""Compare three ways in which data reach the workers of a machine: by path, through Ray's object store, or from a bucket.

.venv/bin/python -m benchmarks.reach [80 1500] makes image arrays of these sizes in MB and measures how two workers get a first batch of 512
random images: from decoded files that they map into memory (as ferray does), from an array that the driver put into the object store, and
from an object on a local S3 server that each worker reads whole. The object store costs one `put` per grid and shared memory for the whole
set on each machine. Decoding is done beforehand in all three cases.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import fsspec
import numpy as np
import ray
import typer

from benchmarks.common import kilobytes, last_line, machine, show
from tests.s3 import BUCKET, environment, server

ROUNDS, WORKERS, BATCH, SIZE = 5, 2, 512, (3, 96, 96)


@ray.remote(num_cpus=0)
class Worker:
    def come(self, way: str, where: Any, shape: tuple[int, ...], seed: int) -> tuple[float, float]:
        """Return the seconds until the first batch is read and the private memory in MB that this process has gained."""
        before, began = kilobytes(os.getpid()), time.perf_counter()
        if way == "path":
            images = np.memmap(where, np.uint8, "r", shape=shape)
        elif way == "store":
            images = ray.get(where[0])
        else:
            with fsspec.open(where, "rb") as file:
                images = np.frombuffer(file.read(), np.uint8).reshape(shape)
        rows = np.random.default_rng(seed).integers(len(images), size=BATCH)
        assert images[rows].any()
        return time.perf_counter() - began, (kilobytes(os.getpid()) - before) / 1024


def main(megabytes: Annotated[list[int] | None, typer.Argument(help="sizes of the decoded set")] = None) -> None:
    """Measure, print a table, end with one line of JSON."""
    host, rows, figures = machine(), [], {}
    with tempfile.TemporaryDirectory(prefix="reach-") as scratch, server(Path(scratch)) as variables, environment(variables):
        ray.init("local", include_dashboard=False, log_to_driver=False, object_store_memory=4 * 2**30, logging_level="ERROR")
        for size in megabytes or [80, 1500]:
            count = size * 2**20 // int(np.prod(SIZE))
            images = np.random.default_rng(0).integers(256, size=(count, *SIZE), dtype=np.uint8)
            file = Path(scratch, f"{size}.bytes")
            images.tofile(file)
            uri = f"s3://{BUCKET}/{size}"
            with fsspec.open(uri, "wb") as out:
                out.write(images.data)
            began = time.perf_counter()
            stored = ray.put(images)
            put = time.perf_counter() - began
            timings: dict[str, list[tuple[float, float]]] = {"path": [], "store": [], "uri": []}
            for number in range(ROUNDS):
                for way, where in (("path", str(file)), ("store", [stored]), ("uri", uri)):
                    workers = [Worker.remote() for _ in range(WORKERS)]
                    ray.get([worker.__ray_ready__.remote() for worker in workers])
                    timings[way] += ray.get([worker.come.remote(way, where, images.shape, number) for worker in workers])
                    for worker in workers:
                        ray.kill(worker)
            for way, pairs in timings.items():
                seconds, memory = (statistics.median(values) for values in zip(*pairs, strict=True))
                rows.append((f"{size} MB by {way}", seconds * 1000, memory, put if way == "store" else 0.0, size if way == "store" else 0))
                figures[f"{way}_{size}_ms"] = seconds * 1000
            del stored
        ray.shutdown()
    show(f"{WORKERS} workers come to a first batch of {BATCH}", ("way", "ms", "MB a worker", "put, s", "MB of the store"), rows)
    last_line(figures, host)


if __name__ == "__main__":
    typer.run(main)
