"""Time the first decoding of files: the decoded cache against a plain parallel decode of the same files. Then time the second start.

python -m benchmarks.decode                     30,000 PNG of 48 x 48, made from the embedded faces, in a temporary folder
python -m benchmarks.decode --fer2013 FILE      also the second start of the official csv
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from trainables.data import decoded_cache
from trainables.data.decode import DecodeOptions, Item
from trainables.data.source import Source

ROUNDS = 3


def bare(file: str) -> np.ndarray:
    """Decode one file in the simplest way."""
    return np.asarray(Image.open(file).convert("L"))


def written(folder: Path, count: int) -> list[str]:
    """Write `count` grey PNG files of 48 x 48, each a face with a little noise, and return their names."""
    faces = Source("faces", population="adults").read_faces(48, "grey").images[:, 0]
    rng = np.random.default_rng(0)
    names = []
    for number in range(count):
        noise = rng.integers(0, 8, (48, 48), dtype=np.uint8)
        names.append(f"{number:06}.png")
        Image.fromarray(np.clip(faces[number % len(faces)] // 2 + noise + 60, 0, 255).astype(np.uint8)).save(folder / names[-1])
    return names


def processor() -> float:
    """Return the CPU seconds of this process and its ended children. A busy machine does not distort them."""
    return sum(sum(resource.getrusage(which)[:2]) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=30_000)
    parser.add_argument("--fer2013", help="the official csv, for its second start")
    options = parser.parse_args()
    cores = decoded_cache._count_cores()
    cached, plain, second = [], [], []
    cpu: dict[str, list[float]] = {"bare": [], "ours": []}
    with tempfile.TemporaryDirectory() as scratch:
        pictures = Path(scratch, "pictures")
        pictures.mkdir()
        names = written(pictures, options.files)
        items, paths = [Item(name) for name in names], [str(pictures / name) for name in names]
        for number in range(ROUNDS):
            began, cpu_before = time.perf_counter(), processor()
            with get_context("fork").Pool(cores) as pool:
                stack = np.stack(pool.map(bare, paths, chunksize=64))
                pool.close()
                pool.join()
            plain.append(time.perf_counter() - began)
            cpu["bare"].append(processor() - cpu_before)
            os.environ["FERRAY_CACHE"] = str(Path(scratch, f"cache{number}"))
            began, cpu_before = time.perf_counter(), processor()
            rows = decoded_cache.decode_rows(pictures, items, DecodeOptions(48))
            cached.append(time.perf_counter() - began)
            cpu["ours"].append(processor() - cpu_before)
            began = time.perf_counter()
            decoded_cache.decode_rows(pictures, items, DecodeOptions(48)).values.sum()
            second.append(time.perf_counter() - began)
            assert np.array_equal(rows.values[:, 0], stack)
    figures = {"files": options.files, "processes": cores, "bare_s": min(plain), "ours_s": min(cached), "share": min(plain) / min(cached)}
    figures |= {"bare_cpu_s": min(cpu["bare"]), "ours_cpu_s": min(cpu["ours"])}
    print(f"{options.files:,} PNG of 48 x 48, {cores} processes, best of {ROUNDS}")
    print(f"  bare parallel decode  {min(plain):6.2f} s   {options.files / min(plain):8,.0f} a second")
    print(f"  ours, into the cache  {min(cached):6.2f} s   {options.files / min(cached):8,.0f} a second   {figures['share']:.0%} of bare")
    print(f"  processor time        bare {min(cpu['bare']):.2f} s, ours {min(cpu['ours']):.2f} s")
    print(f"  again, from the cache {min(second):6.2f} s")
    figures["again_s"] = min(second)
    if options.fer2013:
        code = (
            "import sys, time; from trainables.data.source import Source; began = time.perf_counter();"
            "faces = Source('fer2013', sys.argv[1]).read_faces(48, 'grey'); faces.fingerprint; print(time.perf_counter() - began)"
        )
        with tempfile.TemporaryDirectory() as scratch:
            environment = os.environ | {"FERRAY_CACHE": scratch}
            starts = []
            for _ in range(ROUNDS):
                command = [sys.executable, "-c", code, os.path.abspath(options.fer2013)]
                starts.append(float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout))
        print(f"FER2013's csv with its fingerprint: {starts[0]:.2f} s at first, {min(starts[1:]):.2f} s again")
        figures |= {"fer2013_first_s": starts[0], "fer2013_again_s": min(starts[1:])}
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
