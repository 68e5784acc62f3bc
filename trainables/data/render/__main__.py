"""python -m trainables.data.render: rebuild the embedded faces, or draw a contact sheet of them."""

import sys
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import cv2
import pandas as pd
import typer

from trainables.data.render import corpus, faces_archive, mesh, sheet


def main(
    sheet_path: Annotated[Path | None, typer.Option("--sheet", help="draw a contact sheet of the pack into this PNG file and stop")] = None,
    out: Annotated[Path, typer.Option(help="the pack to write")] = faces_archive.PACK,
    processes: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Render all faces anew (five to ten minutes on two cores) and write the pack."""
    if sheet_path:
        cv2.imwrite(str(sheet_path), cv2.cvtColor(sheet.draw_sheet(faces_archive.read_archive(out)), cv2.COLOR_RGB2BGR))
        return
    mesh.load_head()  # before the fork, so that it is read only once
    cv2.setNumThreads(1)
    shots, start = corpus.plan_pictures(), time.monotonic()
    encoded, rows = [], []
    with get_context("fork").Pool(processes) as pool:
        for k, (file, metadata) in enumerate(pool.imap(corpus.render_shot, shots, chunksize=32), start=1):
            encoded.append(file)
            rows.append(metadata)
            if k % 100 == 0 or k == len(shots):
                seconds_left = (time.monotonic() - start) / k * (len(shots) - k)
                print(f"\r{k}/{len(shots)} faces, {seconds_left:.0f} s left ", end="", file=sys.stderr, flush=True)
    integer_columns = ["clip", "frame", *(f"emoreact_{name}" for name in faces_archive.EMOREACT)]  # nullable: most rows have no value
    faces_archive.write_archive(out, pd.DataFrame(rows).astype(dict.fromkeys(integer_columns, "Int64")), encoded)
    print(f"\n{out}: {len(shots)} faces, {out.stat().st_size / 1e6:.2f} MB, {time.monotonic() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    typer.run(main)
