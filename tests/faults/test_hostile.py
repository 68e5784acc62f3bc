"""Hostile files: what claims too much is refused before it is allocated, nothing is read beside the file, and every failure is one line."""

import io
import json
import resource
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import hostile
from platform.cli.study_options import narrow_study
from trainables.data.decode import PIXELS, DataError, decode_frames, decode_picture
from trainables.data.source import parse_role_file
from trainables.data.unpack import unpack_archive
from trainables.models.weights import read_arrays
from trainables.registry import BadRequest
from trainables.storage.bounded_archives import read_npz
from trainables.storage.store import RunFolder

QUICK = 150


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FERRAY_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def little_memory() -> object:
    """Fail a test that takes more memory than one large picture."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < hostile.PEAK_MIB


def test_every_format_has_a_sample() -> None:
    assert set(hostile.make_samples()) == set(hostile.FORMATS)


@pytest.mark.parametrize("suffix", hostile.FORMATS)
def test_some_mutations(suffix: str) -> None:
    outcomes = Counter()
    for outcome, text in hostile.read_mutations(suffix, QUICK):
        assert outcome in ("read", "refused"), f"{outcome}: {text}"
        outcomes[outcome] += 1
    assert outcomes["refused"] > QUICK / 20, outcomes


@pytest.mark.slow
@pytest.mark.parametrize("suffix", hostile.FORMATS)
def test_5000_mutations(suffix: str) -> None:
    measured = hostile.measure_format(suffix, 5000)
    assert not measured["faults"] and set(measured["outcomes"]) <= {"read", "refused"} and measured["mib"] < hostile.PEAK_MIB, measured


def refuse(call: object, *given: object) -> str:
    with pytest.raises(BadRequest) as caught:
        call(*given)  # type: ignore[operator]
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


def make_png(width: int, height: int) -> bytes:
    """Return a small PNG of one colour that claims, and has, this many pixels."""
    rows = zlib.compressobj(9)
    line = b"\0" + bytes(width * 3)
    data = b"".join(rows.compress(line) for _ in range(height)) + rows.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def test_a_picture_of_too_many_pixels(tmp_path: Path) -> None:
    """0.7 MB of 13,000 x 13,000 pixels used to take 3 GB."""
    (tmp_path / "a.png").write_bytes(make_png(13_000, 13_000))
    assert (tmp_path / "a.png").stat().st_size < 10**6
    assert "13000 x 13000 pixels are more than 50 million" in refuse(decode_picture, tmp_path / "a.png", 48)


def test_a_large_photograph_is_read_small(tmp_path: Path) -> None:
    """A JPEG is decoded no larger than is needed, so that the limit does not hold for the whole picture."""
    Image.new("RGB", (9000, 7000)).save(tmp_path / "a.jpg", quality=10)
    assert PIXELS < 9000 * 7000 and decode_picture(tmp_path / "a.jpg", 48).shape[1] < 2000


def test_a_clip_of_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.data.decode.PIXELS", 1000)
    clip = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 64))
    clip.write(np.zeros((64, 64, 3), np.uint8))
    clip.release()
    assert "64 x 64 pixels" in refuse(decode_frames, tmp_path / "a.mp4", 1)


def test_postscript_is_not_given_to_another_program(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) show\n")
    assert "EPS" in refuse(decode_picture, tmp_path / "a.png", 48)


def test_a_clip_that_is_a_list_of_files(tmp_path: Path) -> None:
    clip = cv2.VideoWriter(str(tmp_path / "secret.ts"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (32, 32))
    clip.write(np.zeros((32, 32, 3), np.uint8))
    clip.release()
    for name in ("a.mp4", "a.m3u8"):
        (tmp_path / name).write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n")
        refuse(decode_frames, tmp_path / name, 1)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_an_archive_that_expands_too_far(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.data.unpack.ALWAYS", 10**6)
    file = tmp_path / f"a.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", bytes(20 * 10**6))
    else:
        with tarfile.open(file, "w:gz") as bundle:
            entry = tarfile.TarInfo("a")
            entry.size = 20 * 10**6
            bundle.addfile(entry, io.BytesIO(bytes(entry.size)))
    assert "would expand to more than" in refuse(unpack_archive, file)
    assert not list((tmp_path / "cache").rglob("a"))


def make_npz(shape: str, expand: int = 0) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(16 + expand))
    return buffer.getvalue()


def test_an_array_that_claims_terabytes(tmp_path: Path) -> None:
    for content in (make_npz("(1000000, 1000000)"), make_npz("(-4,)"), make_npz("(4,)", expand=200 * 10**6)):
        refuse(read_arrays, "a.npz", content)
    assert read_npz(make_npz("(4,)"))["a"].tolist() == [0.0] * 4
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}).encode()
    refuse(read_arrays, "a.safetensors", len(header).to_bytes(8, "little") + header + bytes(8))
    refuse(read_arrays, "a.safetensors", (2**62).to_bytes(8, "little") + header)
    many = json.dumps({str(number): {"dtype": "U8", "shape": [10**5], "data_offsets": [0, 10**5]} for number in range(5000)}).encode()
    assert "overlap" in refuse(read_arrays, "a.safetensors", len(many).to_bytes(8, "little") + many + bytes(10**5))
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, buffer)
    assert "larger than a file of this size" in refuse(read_arrays, "a.pt", buffer.getvalue())


@pytest.mark.parametrize(
    "header", [b"[]", b"7", b"null", b'{"a": []}', b'{"a": {"dtype": [], "shape": 1, "data_offsets": 2}}', b"[" * 10**5]
)
def test_a_header_of_another_form(header: bytes) -> None:
    refuse(read_arrays, "a.safetensors", len(header).to_bytes(8, "little") + header + bytes(8))


@pytest.mark.parametrize("how", ["external data", "virtual", "external link"])
def test_weights_that_lie_in_another_file(tmp_path: Path, how: str) -> None:
    """A data set whose values lie in an external file used to read any local file into the weights."""
    h5py = pytest.importorskip("h5py")
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(16, dtype=np.float32).tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["a"] = np.arange(16, dtype=np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        if how == "external data":
            file.create_dataset("conv/kernel", (16,), np.float32, external=[(str(secret), 0, 64)])
        elif how == "virtual":
            layout = h5py.VirtualLayout((16,), np.float32)
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "a", (16,))
            file.create_virtual_dataset("conv/kernel", layout)
        else:
            file["conv/kernel"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "a")
    assert "another file, which is not read" in refuse(read_arrays, str(tmp_path / "a.h5"), (tmp_path / "a.h5").read_bytes())


def test_an_empty_data_set_of_terabytes(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (10**6, 10**6), np.float32, chunks=(100, 100))
    assert "cannot hold" in refuse(read_arrays, "a.h5", (tmp_path / "a.h5").read_bytes())


LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("text", [LAUGHS, "[" * 5000, "children: *a", "a: !!python/name:os.system", "\0", "a: 1\n a: 2", "- " * 3000])
def test_yaml_of_roles(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    refuse(parse_role_file, tmp_path / "a.yaml")


@pytest.mark.parametrize("value", ["[", "{", "*a", "&a [*a]", "!!python/name:os.system", "'", "[" * 3000, "\0"])
def test_a_setting_that_is_no_yaml_is_one_line(value: str) -> None:
    """`--set 'epochs=['` used to end in a traceback."""
    line = refuse(narrow_study, "adults_as_augmentation", "pocket", [], None, [f"epochs={value}"], [])
    assert line.startswith("--set epochs=")


@pytest.mark.parametrize("address", ["http://localhost/runs", "HTTPS://example.org/a"])
def test_runs_on_a_web_page_are_refused(address: str) -> None:
    assert "nothing can be written" in refuse(RunFolder, address)


def test_a_data_error_is_a_bad_request() -> None:
    assert issubclass(DataError, BadRequest)
