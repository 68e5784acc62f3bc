"""Read damaged and hostile files of every format: none may end in a traceback, a crash or an exhausted memory.

    python -m benchmarks.hostile             # 5,000 mutations of each format
    python -m benchmarks.hostile h5 --count 500

A mutation cuts, loses, doubles, inserts or overwrites bytes, or writes a large number over a few, as a header that claims too much has it.
Each format is read in a process of its own, whose peak memory is measured.
"""

import argparse
import contextlib
import io
import json
import os
import random
import resource
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainables.registry import BadRequest

PICTURES = ("png", "jpg", "tif", "gif", "webp", "bmp", "ppm", "tga", "jp2", "avif")
FORMATS = (*(f".{kind}" for kind in PICTURES), ".mp4", ".pt", ".pth", ".safetensors", ".npz", ".h5", ".checkpoint")
FORMATS += (".zip", ".tar.gz", ".xlsx", ".csv", ".parquet", ".yaml")
PEAK_MIB = 700
"""Memory that a format may take beyond its libraries: one picture of the largest size that is decoded."""
Read = Callable[[Path], Any]


def make_samples() -> dict[str, tuple[bytes, Read]]:
    """Return a small whole file of each format, and what reads it. The format is the suffix."""
    import cv2
    import pandas as pd
    import torch
    from PIL import Image

    from trainables.data.decode import decode_frames, decode_picture
    from trainables.data.source import parse_role_file
    from trainables.data.table_file import open_table
    from trainables.data.unpack import unpack_archive
    from trainables.data.xlsx import read_sheet
    from trainables.models.weights import read_arrays
    from trainables.storage.store import RunFolder

    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8))
    state = {"layers.0.weight": torch.randn(4, 3, 3, 3), "layers.0.bias": torch.randn(4)}
    arrays = {name: value.numpy() for name, value in state.items()}
    table = pd.DataFrame({"file": ["a.png", "b.png"], "label": ["anger", "fear"], "age": [3.5, 4.0]})

    def save(write: Callable[[io.BytesIO], Any]) -> bytes:
        buffer = io.BytesIO()
        write(buffer)
        return buffer.getvalue()

    def save_zip(buffer: io.BytesIO) -> None:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("anger/a.txt", "a" * 500)
            archive.writestr("fear/b.txt", "b" * 500)

    def save_tar(buffer: io.BytesIO) -> None:
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name in ("anger/a.txt", "fear/b.txt"):
                entry = tarfile.TarInfo(name)
                entry.size = 500
                archive.addfile(entry, io.BytesIO(b"x" * 500))

    def save_sheet(buffer: io.BytesIO) -> None:
        space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        row = '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1"><v>2</v></c></row>'
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as book:
            book.writestr("xl/worksheets/sheet1.xml", f'<worksheet xmlns="{space}"><sheetData>{row}</sheetData></worksheet>')
            book.writestr("xl/sharedStrings.xml", f'<sst xmlns="{space}"><si><t>name</t></si></sst>')

    def save_clip() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            clip = cv2.VideoWriter(f"{folder}/a.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 10, (32, 32))
            for _ in range(6):
                clip.write(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            clip.release()
            return Path(folder, "a.mp4").read_bytes()

    def save_safetensors() -> bytes:
        header, body = {}, b""
        for name, value in arrays.items():
            header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(body), len(body) + value.nbytes]}
            body += value.tobytes()
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + body

    def save_h5(buffer: io.BytesIO) -> None:
        import h5py

        with h5py.File(buffer, "w") as file:
            for name, value in arrays.items():
                file.create_dataset(name.replace(".", "/"), data=value, compression="gzip" if value.ndim > 1 else None)

    def read_weights(file: Path) -> Any:
        return read_arrays(str(file), file.read_bytes())

    def read_picture(file: Path) -> Any:
        return decode_picture(file, 16)

    def read_checkpoint(file: Path) -> Any:
        folder = RunFolder(str(file.parent / "run"))
        folder.say = lambda text: None
        folder.put(file.read_bytes(), "cells", "k", "checkpoint.pt")
        return folder.get_checkpoint("k")

    samples: dict[str, tuple[bytes, Read]] = {
        f".{kind}": (
            save(lambda buffer, kind=kind: picture.save(buffer, {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(kind, kind.upper()))),
            read_picture,
        )
        for kind in PICTURES
    }
    return samples | {
        ".mp4": (save_clip(), lambda file: decode_frames(file, 3)),
        ".pt": (save(lambda buffer: torch.save(state, buffer)), read_weights),
        ".pth": (save(lambda buffer: torch.save(state, buffer, _use_new_zipfile_serialization=False)), read_weights),
        ".safetensors": (save_safetensors(), read_weights),
        ".npz": (save(lambda buffer: np.savez_compressed(buffer, **arrays)), read_weights),
        ".h5": (save(save_h5), read_weights),
        ".checkpoint": (save(lambda buffer: torch.save({"modules": state, "phase": 0}, buffer)), read_checkpoint),
        ".zip": (save(save_zip), unpack_archive),
        ".tar.gz": (save(save_tar), unpack_archive),
        ".xlsx": (save(save_sheet), read_sheet),
        ".csv": (table.to_csv(index=False).encode(), lambda file: open_table(str(file))),
        ".parquet": (table.to_parquet(index=False), lambda file: open_table(str(file))),
        ".yaml": (b"children: [{kind: images, path: /data/a}, 'images:/data/b']\nadults: images:/data/c\n", parse_role_file),
    }


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Return the content with one to three faults, most of them near its ends, where headers are."""
    for _ in range(chance.randint(1, 3)):
        size = len(content)
        at = chance.choice([chance.randrange(size + 1), min(size, chance.randrange(200)), max(0, size - chance.randrange(200))])
        end = min(size, at + chance.randint(1, 40))
        large = chance.choice([2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1, 10**5, 0])
        width = chance.choice([2, 4, 8])
        number = (large % 256**width).to_bytes(width, chance.choice(["little", "big"]))
        content = chance.choice(
            [
                content[:at],
                content[:at] + content[end:],
                content[:end] + content[at:end] + content[end:],
                content[:at] + chance.randbytes(end - at) + content[end:],
                content[:at] + chance.randbytes(chance.randint(1, 8)) + content[at:],
                content[:at] + number + content[at + width :],
                content[:at] + bytes([(content[at : at + 1] or b"\0")[0] ^ 1 << chance.randrange(8)]) + content[at + 1 :],
                content[:at] + chance.choice([b"9999999999", b"-1", b"[[[[", b"null", b"1e999"]) + content[end:],
            ]
        )
    return content


def read_mutations(suffix: str, count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Yield `read`, `refused` or the error's type for each mutation, and for an error its number and text."""
    content, read = make_samples()[suffix]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        os.environ["FERRAY_CACHE"] = f"{folder}/cache"
        for number in range(count):
            chance = random.Random(f"{seed} {suffix} {number}")
            file = Path(folder, f"{number}{suffix}")
            file.write_bytes(mutate(content, chance))
            try:
                yield "refused" if read(file) is None else "read", ""
            except (BadRequest, FileNotFoundError) as error:
                whole = "\n" not in str(error) and len(str(error)) < 2000
                yield ("refused", "") if whole else ("not one line", f"{number}: {error}")
            except Exception as error:
                yield type(error).__name__, f"{number}: {error}"
            file.unlink()


def measure_format(suffix: str, count: int) -> dict[str, Any]:
    """Read mutations in a process of its own. Return the outcomes, the faults, and the memory beyond that of the libraries, in MiB."""
    command = [sys.executable, "-m", "benchmarks.hostile", suffix, "--count", str(count), "--here"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"outcomes": {}, "faults": [f"the process ended with {done.returncode}: {done.stderr[-500:]}"], "mib": 0}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _measure_here(suffix: str, count: int) -> dict[str, Any]:
    make_samples()[suffix][1]  # imports
    list(read_mutations(suffix, 20, seed=1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: Counter[str] = Counter()
    faults = []
    for outcome, text in read_mutations(suffix, count):
        outcomes[outcome] += 1
        faults += [f"{outcome}, {text}"] if text else []
    mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"outcomes": dict(outcomes), "faults": faults[:5], "mib": round(mib)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="*", help="suffixes, such as .png; default: all")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    formats = [name if name.startswith(".") else f".{name}" for name in asked.formats] or FORMATS
    if asked.here:
        print(json.dumps(_measure_here(formats[0], asked.count)))
        return
    for suffix in formats:
        measured = measure_format(suffix, asked.count)
        print(f"{suffix:14}{measured['outcomes']}  {measured['mib']} MiB  {measured['faults'] or ''}", flush=True)


if __name__ == "__main__":
    main()
