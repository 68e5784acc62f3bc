"""Decoding once: our cache against a bare parallel decode of the same files, side by side; then the second start.

python -m benchmarks.decode                     30,000 PNG of 48 x 48, made from the embedded faces, in a temporary folder
python -m benchmarks.decode --fer2013 FILE      and the second start of the official csv
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
    """What anybody would write."""
    return np.asarray(Image.open(file).convert("L"))


def written(folder: Path, count: int) -> list[str]:
    """PNG files of 48 x 48 in grey, faces with a little noise each."""
    faces = Source("faces", population="adults").read_faces(48, "grey").images[:, 0]
    rng = np.random.default_rng(0)
    names = []
    for number in range(count):
        noise = rng.integers(0, 8, (48, 48), dtype=np.uint8)
        names.append(f"{number:06}.png")
        Image.fromarray(np.clip(faces[number % len(faces)] // 2 + noise + 60, 0, 255).astype(np.uint8)).save(folder / names[-1])
    return names


def processor() -> float:
    """Seconds of processor time of this process and its ended children: what a busy machine does not distort."""
    return sum(sum(resource.getrusage(which)[:2]) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=30_000)
    parser.add_argument("--fer2013", help="the official csv, for its second start")
    asked = parser.parse_args()
    cores = decoded_cache._count_cores()
    ours, theirs, second = [], [], []
    used: dict[str, list[float]] = {"bare": [], "ours": []}
    with tempfile.TemporaryDirectory() as place:
        pictures = Path(place, "pictures")
        pictures.mkdir()
        names = written(pictures, asked.files)
        items, paths = [Item(name) for name in names], [str(pictures / name) for name in names]
        for number in range(ROUNDS):
            began, used_before = time.perf_counter(), processor()
            with get_context("fork").Pool(cores) as pool:
                stack = np.stack(pool.map(bare, paths, chunksize=64))
                pool.close()
                pool.join()
            theirs.append(time.perf_counter() - began)
            used["bare"].append(processor() - used_before)
            os.environ["FERRAY_CACHE"] = str(Path(place, f"cache{number}"))
            began, used_before = time.perf_counter(), processor()
            rows = decoded_cache.decode_rows(pictures, items, DecodeOptions(48))
            ours.append(time.perf_counter() - began)
            used["ours"].append(processor() - used_before)
            began = time.perf_counter()
            decoded_cache.decode_rows(pictures, items, DecodeOptions(48)).values.sum()
            second.append(time.perf_counter() - began)
            assert np.array_equal(rows.values[:, 0], stack)
    figures = {"files": asked.files, "processes": cores, "bare_s": min(theirs), "ours_s": min(ours), "share": min(theirs) / min(ours)}
    figures |= {"bare_cpu_s": min(used["bare"]), "ours_cpu_s": min(used["ours"])}
    print(f"{asked.files:,} PNG of 48 x 48, {cores} processes, best of {ROUNDS}")
    print(f"  bare parallel decode  {min(theirs):6.2f} s   {asked.files / min(theirs):8,.0f} a second")
    print(f"  ours, into the cache  {min(ours):6.2f} s   {asked.files / min(ours):8,.0f} a second   {figures['share']:.0%} of bare")
    print(f"  processor time        bare {min(used['bare']):.2f} s, ours {min(used['ours']):.2f} s")
    print(f"  again, from the cache {min(second):6.2f} s")
    figures["again_s"] = min(second)
    if asked.fer2013:
        code = (
            "import sys, time; from trainables.data.source import Source; began = time.perf_counter();"
            "faces = Source('fer2013', sys.argv[1]).read_faces(48, 'grey'); faces.fingerprint; print(time.perf_counter() - began)"
        )
        with tempfile.TemporaryDirectory() as place:
            environment = os.environ | {"FERRAY_CACHE": place}
            starts = []
            for _ in range(ROUNDS):
                command = [sys.executable, "-c", code, os.path.abspath(asked.fer2013)]
                starts.append(float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout))
        print(f"FER2013's csv with its fingerprint: {starts[0]:.2f} s at first, {min(starts[1:]):.2f} s again")
        figures |= {"fer2013_first_s": starts[0], "fer2013_again_s": min(starts[1:])}
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
