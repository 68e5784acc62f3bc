"""Every picture format and depth: 8 bits as Pillow reads them, 16 bits as OpenCV does, scaled; the rest is refused in one line."""

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainables.data.decode import DataError, decode_picture
from trainables.data.files import SUFFIXES, describe_skipped
from trainables.data.source import Source

SIZE = 64
RNG = np.random.default_rng(0)
ICONS = {".ico", ".icns", ".cur"}
STUBS = {".bufr", ".grib", ".h5", ".hdf", ".mpg", ".mpeg", ".eps", ".ps", ".wmf", ".emf"}
"""Suffixes that Pillow knows, but reads only by a program or a handler of somebody else's, or on Windows alone."""
LOSSY = {".jpg", ".jpeg", ".jpe", ".jfif", ".avif", ".avifs", ".webp", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"}


def test_the_suffixes_are_those_that_pillow_reads() -> None:
    Image.init()
    readable = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    assert readable - STUBS - ICONS <= SUFFIXES and readable - STUBS - ICONS >= SUFFIXES


def make_picture(mode: str) -> Image.Image:
    smooth = np.linspace(0, 255, SIZE * SIZE).reshape(SIZE, SIZE).astype(np.uint8)
    colours = np.stack((smooth, smooth.T, np.full_like(smooth, 60)), axis=-1)
    return Image.fromarray(smooth if mode == "L" else colours)


def list_writable() -> list[tuple[str, str]]:
    """Return the suffixes and modes that Pillow writes, too."""
    pairs = []
    for suffix, mode in product(sorted(SUFFIXES), ("L", "RGB")):
        with contextlib.suppress(KeyError, ValueError, OSError):
            make_picture(mode).save(io.BytesIO(), Image.registered_extensions()[suffix])
            pairs.append((suffix, mode))
    return pairs


WRITABLE = list_writable()
assert len(WRITABLE) > 50


@pytest.mark.parametrize(("suffix", "mode"), WRITABLE)
def test_eight_bits_are_those_of_pillow(tmp_path: Path, suffix: str, mode: str) -> None:
    file = tmp_path / f"a{suffix}"
    make_picture(mode).save(file)
    with Image.open(file) as picture:
        expected = np.asarray(picture.convert("L" if picture.mode in ("L", "1") else "RGB"))
    decoded = decode_picture(file, SIZE)
    assert decoded.dtype == np.uint8 and np.array_equal(decoded, expected)
    if suffix not in LOSSY | {".gif"}:
        written = np.asarray(make_picture(mode).convert("RGB"))
        assert np.array_equal(decoded if decoded.ndim == 2 else decoded[..., 0], written[..., 0])


def write_16_bits(file: Path, pixels: np.ndarray) -> None:
    assert cv2.imwrite(str(file), pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm", ".jp2"])
def test_sixteen_bits_of_grey_are_scaled(tmp_path: Path, suffix: str) -> None:
    """To the numbers of OpenCV, divided by 257; before, 99.9 % of the pixels were white."""
    pixels = RNG.integers(0, 65536, (SIZE, SIZE), dtype=np.uint16)
    pixels[0, :3] = 0, 65535, 257
    write_16_bits(tmp_path / f"a{suffix}", pixels)
    decoded = decode_picture(tmp_path / f"a{suffix}", SIZE)
    read = cv2.imread(str(tmp_path / f"a{suffix}"), cv2.IMREAD_UNCHANGED)
    assert read.dtype == np.uint16 and decoded.ndim == 2
    assert np.array_equal(decoded, np.floor(read / 257 + 0.5).astype(np.uint8))
    assert abs(decoded.mean() - 127.5) < 5 and (suffix == ".jp2" or decoded[0, :3].tolist() == [0, 255, 1])


def test_sixteen_bits_of_colour_are_scaled(tmp_path: Path) -> None:
    """Pillow leaves out the lower byte, which is within 1 of the division."""
    pixels = RNG.integers(0, 65536, (SIZE, SIZE, 3), dtype=np.uint16)
    write_16_bits(tmp_path / "a.png", pixels)
    decoded = decode_picture(tmp_path / "a.png", SIZE)
    assert np.abs(decoded.astype(int) - pixels[..., ::-1] / 257).max() <= 1


def test_a_folder_of_16_bits_is_not_white(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / ("anger", "fear")[number % 2]).mkdir(exist_ok=True)
        write_16_bits(tmp_path / ("anger", "fear")[number % 2] / f"{number}.png", RNG.integers(0, 65536, (48, 48), dtype=np.uint16))
    faces = Source("folders", str(tmp_path)).read_faces(48, "grey")
    assert abs(faces.images.mean() - 127.5) < 3 and (faces.images == 255).mean() < 0.02


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", ".tif"), ("CMYK", ".jpg"), ("P", ".png"), ("RGBA", ".png"), ("LA", ".png"), ("1", ".png")]
)
def test_other_modes_are_those_of_pillow(tmp_path: Path, mode: str, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    make_picture("RGB").convert(mode).save(file)
    with Image.open(file) as picture:
        assert np.array_equal(decode_picture(file, SIZE), np.asarray(picture.convert("L" if mode == "1" else "RGB")))


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    picture = make_picture("RGB").convert("P")
    picture.save(tmp_path / "a.png", transparency=bytes(range(256)))
    assert np.array_equal(decode_picture(tmp_path / "a.png", SIZE), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("turned", "undo"), [(3, lambda x: x[::-1, ::-1]), (6, lambda x: np.rot90(x, -1)), (8, np.rot90)])
def test_a_turned_picture_is_set_upright(tmp_path: Path, bits: int, turned: int, undo: Callable[[np.ndarray], np.ndarray]) -> None:
    pixels = RNG.integers(0, 65536, (40, SIZE), dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112] = turned
    stored = Image.fromarray(pixels if bits == 16 else (pixels // 256).astype(np.uint8))
    stored.save(tmp_path / "a.png", exif=exif)
    expected = (pixels.astype(np.uint32) + 128) // 257 if bits == 16 else pixels // 256
    assert np.array_equal(decode_picture(tmp_path / "a.png", SIZE), undo(expected))


def test_of_an_animated_picture_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((SIZE, SIZE), level, np.uint8)) for level in (10, 90, 200)]
    for suffix in (".gif", ".webp", ".png"):
        frames[0].save(
            tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], **({"lossless": True} if suffix == ".webp" else {})
        )
        assert (decode_picture(tmp_path / f"a{suffix}", SIZE) == 10).all()


def write_bomb(file: Path) -> None:
    Image.new("1", (60_000, 60_000)).save(file.with_suffix(".png"))


def write_floats(file: Path) -> None:
    Image.fromarray(RNG.random((SIZE, SIZE), dtype=np.float32)).save(file.with_suffix(".tif"))


def write_integers(file: Path) -> None:
    Image.fromarray(RNG.integers(0, 2**30, (SIZE, SIZE), dtype=np.int32)).save(file.with_suffix(".tif"))


def write_half(file: Path) -> None:
    make_picture("RGB").save(file.with_suffix(".png"))
    content = file.with_suffix(".png").read_bytes()
    file.with_suffix(".png").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("write", "reason"),
    [(write_bomb, "decompression bomb"), (write_floats, "32 bits"), (write_integers, "32 bits"), (write_half, "truncated")],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, write: Callable[[Path], None], reason: str) -> None:
    write(tmp_path / "a")
    (file,) = tmp_path.iterdir()
    with pytest.raises(DataError) as caught:
        decode_picture(file, SIZE)
    assert str(caught.value).startswith(f"{file}: cannot be read as an image (") and reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_twelve_suffixes_are_all_read_and_what_is_skipped_is_counted(tmp_path: Path) -> None:
    suffixes = ("jpg", "JPG", "png", "jpeg", "bmp", "tif", "webp", "gif", "pgm", "ppm", "jfif", "jpe")
    for number in range(84):
        folder = tmp_path / ("anger", "fear")[number % 2]
        folder.mkdir(exist_ok=True)
        picture = Image.fromarray(RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        (picture.convert("L") if suffixes[number % 12] == "pgm" else picture).save(folder / f"{number}.{suffixes[number % 12]}")
    clean = Source("folders", str(tmp_path)).read_faces(32, "rgb")
    assert len(clean) == 84 and not any("skipped" in note for note in clean.notes)
    for name in ("a.heic", "b.HEIC", "c.txt", "d", ".hidden"):
        (tmp_path / "fear" / name).write_bytes(b"x")
    (note,) = [note for note in Source("folders", str(tmp_path)).read_faces(32, "rgb").notes if "skipped" in note]
    assert note == "4 other files are skipped: 2 .heic, 1 .txt, 1 no suffix"
    assert describe_skipped(tmp_path, ["nowhere/a.png"]) == ["2 other files are skipped: 2 .heic"], (
        "pictures that cannot be read count anywhere"
    )
    (tmp_path / "iphone").mkdir()
    (tmp_path / "iphone" / "a.heic").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds no image in a folder of a class; 1 other file is skipped: 1 \.heic"):
        Source("folders", str(tmp_path / "iphone")).read_faces(32, "rgb")


@settings(max_examples=300)
@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "TGA", "JPEG2000"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_damaged_picture_is_read_or_refused_in_one_line(kind: str, flips: list[tuple[float, int]], end: float, cut: bool) -> None:
    content = io.BytesIO()
    make_picture("RGB").save(content, kind)
    data = bytearray(content.getvalue())
    for place, value in flips:
        data[int(place * (len(data) - 1))] = value
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        file = Path(folder, "a.bin")
        file.write_bytes(data[: int(end * len(data))] if cut else data)
        try:
            decoded = decode_picture(file, SIZE)
        except DataError as error:
            assert "\n" not in str(error) and str(error).startswith(f"{file}: cannot be read as an image (")
        else:
            assert decoded.dtype == np.uint8 and decoded.ndim in (2, 3)
