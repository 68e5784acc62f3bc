"""Cache of decoded images: the same pixels however they were decoded, kept until a file changes, and never incomplete."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.tree import film, portrait, save
from tests.data.trees import TREES
from trainables.data import decoded_cache, memory_map
from trainables.data.dataset import DataError, FaceDataset
from trainables.data.decode import BLOCK, DecodeOptions, Item, crop_square, cut_box, decode_frames, decode_picture, split_blocks
from trainables.data.source import Source


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("FERRAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pictures(folder: Path, count: int) -> list[Item]:
    for number in range(count):
        save(folder / f"{number:04}.png", np.full((8, 8), number % 256, np.uint8))
    return [Item(f"{number:04}.png") for number in range(count)]


def entries(place: Path) -> set[str]:
    return {file.name for file in place.iterdir() if file.suffix in (".bytes", ".json")}


def test_several_processes_give_what_one_does(tmp_path, monkeypatch):
    items = pictures(tmp_path / "set", 300)
    (tmp_path / "set/0007.png").write_bytes(b"broken")
    (tmp_path / "set/0250.png").unlink()
    alone = decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4))
    monkeypatch.setattr(decoded_cache, "ALONE", 50)
    monkeypatch.setattr(decoded_cache, "_count_cores", lambda: 3)
    monkeypatch.setenv("FERRAY_CACHE", str(tmp_path / "other"))
    several = decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4))
    good = [number for number in range(300) if number not in (7, 250)]
    for rows in (alone, several):
        assert rows.kept.tolist() == good
        assert rows.values[:, 0, 0, 0].tolist() == [number % 256 for number in good]
        assert list(rows.failed) == [7, 250] and "0007.png: cannot be read as an image" in rows.failed[7]
    np.testing.assert_array_equal(alone.values, several.values)


def test_what_is_there_is_not_decoded_again_and_what_changed_is(tmp_path, own_cache):
    items = pictures(tmp_path / "set", 3)
    first = decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4))
    assert len(entries(own_cache)) == 2
    stamps = {file: file.stat().st_mtime_ns for file in own_cache.iterdir() if file.name != "lock"}
    again = decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4))
    assert again.key == first.key and isinstance(again.values, np.memmap)
    assert stamps == {file: file.stat().st_mtime_ns for file in own_cache.iterdir() if file.name != "lock"}
    save(tmp_path / "set/0001.png", np.full((8, 8), 200, np.uint8))  # same file size, a moment later
    changed = decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4))
    assert changed.key != first.key and changed.values[:, 0, 0, 0].tolist() == [0, 200, 2]
    keys = {
        decoded_cache.decode_rows(tmp_path / "set", items, how).key
        for how in (DecodeOptions(4), DecodeOptions(5), DecodeOptions(4, "rgb"), DecodeOptions(0))
    }
    assert len(keys) == 4


def test_a_read_image_may_be_written_to_and_the_cache_stays(tmp_path):
    items = pictures(tmp_path / "set", 2)
    decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4)).values[:] = 99
    assert decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4)).values[:, 0, 0, 0].tolist() == [0, 1]


def test_what_is_large_is_mapped_to_be_read_alone(tmp_path, monkeypatch):
    """Linux refuses writable mappings that are larger than memory: AffectNet at 224 pixels would not open."""
    items = pictures(tmp_path / "set", 2)
    assert decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4)).values.flags.writeable
    monkeypatch.setattr(memory_map, "LARGE", 0)
    assert not decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4)).values.flags.writeable


def test_a_killed_decoding_leaves_nothing_that_is_read(tmp_path, own_cache):
    items = pictures(tmp_path / "set", 3)
    rows = decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4))
    (own_cache / f"{rows.key}.json").unlink()  # it is written last
    (own_cache / f"{rows.key}.bytes").write_bytes(b"half")
    (own_cache / "another.partial").write_bytes(b"left by one that was killed")
    again = decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4))
    assert again.values[:, 0, 0, 0].tolist() == [0, 1, 2] and not list(own_cache.glob("*.partial"))


def test_two_at_once_decode_once(tmp_path, monkeypatch):
    items = pictures(tmp_path / "set", 100)
    calls = []
    decoding = decoded_cache._decode_into
    monkeypatch.setattr(decoded_cache, "_decode_into", lambda *arguments: calls.append(1) or decoding(*arguments))
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and all(np.array_equal(rows.values, results[0].values) for rows in results)


def test_a_cache_in_the_data_set_or_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    items = pictures(tmp_path / "set", 1)
    monkeypatch.setenv("FERRAY_CACHE", str(tmp_path / "set" / "cache"))
    with pytest.raises(DataError, match="lies in the data set's own folder"):
        decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4))
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FERRAY_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot keep what was decoded .*; set FERRAY_CACHE to another place"):
        decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4))


def test_a_full_disk_is_one_line(tmp_path):
    with pytest.raises(OSError, match="GiB are needed there"):
        decoded_cache.allocate_file(tmp_path / "huge", 2**60)


def test_the_cache_is_its_owners_alone(tmp_path, own_cache):
    decoded_cache.decode_rows(tmp_path / "set", pictures(tmp_path / "set", 1), DecodeOptions(4))
    assert own_cache.stat().st_mode & 0o077 == 0


def test_fingerprints_are_those_of_the_pixels_wherever_they_come_from(tmp_path, own_cache):
    for name in ("cafe", "fer2013", "emoreact"):
        faces = TREES[name](tmp_path / name).read()
        plain = FaceDataset(np.array(faces.images), faces.labels, faces.classes, faces.metadata, faces.title)
        assert faces.origin and not plain.origin
        assert faces.fingerprint == plain.fingerprint
        assert faces.fingerprint in {json.loads(file.read_text())["text"] for file in own_cache.glob("*.text")}


def test_known_fingerprints(tmp_path):
    """Fingerprints from before the cache existed. They must not change, because cell keys depend on them."""
    for number, name in enumerate(("b/2.png", "a.png", "b/1.png")):
        save(tmp_path / "pool" / name, np.full((20, 30, 3), (10 * number, 50, 200), np.uint8))
    assert Source("images", str(tmp_path / "pool")).read_faces(16, "rgb").fingerprint == "37cee6e20d2a343f"
    assert Source("images", str(tmp_path / "pool")).read_faces(16, "grey").fingerprint == "6577eec286948f0f"


def test_parts_are_read_without_a_copy(tmp_path):
    faces = Source("images", str(TREES["images"](tmp_path).path)).read_faces(16, "grey")
    part = faces.take_rows(np.array([1, 2]))
    assert np.shares_memory(part.images, faces.images) and not np.shares_memory(faces.take_rows(np.array([0, 2])).images, faces.images)


def test_a_second_process_maps_what_the_first_decoded(tmp_path, own_cache):
    tree = TREES["cafe"](tmp_path)
    first = tree.read()
    code = "import sys; from trainables.data.source import Source; f = Source('cafe', sys.argv[1]).read_faces(32, 'grey')"
    code += "; print(f.fingerprint, f.origin)"
    result = subprocess.run([sys.executable, "-c", code, str(tree.path)], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert result.stdout.split() == [first.fingerprint, first.origin]
    assert len([name for name in entries(own_cache) if name.endswith(".json")]) == 1


def test_what_is_kept_says_of_what(tmp_path, own_cache):
    decoded_cache.decode_rows(tmp_path / "set", pictures(tmp_path / "set", 2), DecodeOptions(4, "rgb"))
    info = json.loads(next(own_cache.glob("*.json")).read_text())
    assert info.pop("content") == f"96 {hashlib.sha256(next(own_cache.glob('*.bytes')).read_bytes()).hexdigest()}"
    assert info.pop("about")["place"] == next(own_cache.glob("*.json")).name and info.pop("digest")
    assert info == {"shape": [2, 3, 4, 4], "dtype": "|u1", "root": str(tmp_path / "set"), "failed": []}


@pytest.mark.parametrize("ending", ["bytes", "json", "text"])
@pytest.mark.parametrize("harm", ["cut", "noise", "gone"])
def test_what_was_harmed_is_made_anew(tmp_path, own_cache, ending, harm):
    tree = TREES["cafe"](tmp_path)
    whole = tree.read()
    pixels, fingerprint = np.array(whole.images), whole.fingerprint
    (file,) = own_cache.glob(f"*.{ending}")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    file.unlink()  # a process that has mapped the old file keeps it
    if harm == "cut":
        file.write_bytes(content[:middle])
    elif harm == "noise":
        content[middle : middle + 4] = b"\xff\x00{a"
        file.write_bytes(content)
    again = tree.read()
    assert np.array_equal(again.images, pixels) and again.fingerprint == fingerprint
    assert np.array_equal(tree.read().images, pixels)


def test_blocks_never_cut_a_clip():
    items = [Item(f"{number // 30}.mp4", number % 30, 30) for number in range(10 * 30)]
    cuts = split_blocks(items)
    assert [first for first, _ in cuts][1:] == [last for _, last in cuts][:-1] and cuts[-1][1] == 300
    assert all(first % 30 == 0 for first, _ in cuts) and all(last - first <= BLOCK + 30 for first, last in cuts)
    assert split_blocks([]) == [(0, 0)]


def test_frames_are_evenly_spaced_and_a_short_clip_repeats(tmp_path):
    faces = [portrait("anger", number) for number in range(5)]
    film(tmp_path / "clip.mp4", faces)  # each face is shown four times
    three = decode_frames(tmp_path / "clip.mp4", 3)
    for face, frame in zip((faces[0], faces[2], faces[4]), three, strict=True):
        assert np.abs(face.astype(int) - frame).mean() < 12
    assert len(decode_frames(tmp_path / "clip.mp4", 50)) == 50
    (tmp_path / "none.mp4").write_bytes(b"no clip")
    with pytest.raises(DataError, match=r"none\.mp4: no frame of this clip can be decoded"):
        decode_frames(tmp_path / "none.mp4", 3)


def test_grey_files_are_decoded_as_grey_to_the_same_pixels(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)
    save(tmp_path / "grey.png", grey)
    save(tmp_path / "colour.png", np.repeat(grey[..., None], 3, axis=2))
    for colour in ("grey", "rgb"):
        from_grey, from_colour = (crop_square(decode_picture(tmp_path / name, 8), 8, colour) for name in ("grey.png", "colour.png"))
        np.testing.assert_array_equal(from_grey, from_colour)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_picture_is_read(tmp_path, mode):
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8))
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    (Image.fromarray(np.arange(81, dtype=np.uint16).reshape(9, 9)) if mode == "I;16" else colours.convert(mode)).save(file)
    assert crop_square(decode_picture(file, 4), 4, "rgb").shape == (3, 4, 4)


def test_boxes_are_squares_within_the_picture():
    picture = np.arange(100 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 80, 3)
    np.testing.assert_array_equal(cut_box(picture, (10, 20, 30, 30), 1, ""), picture[20:50, 10:40])
    assert cut_box(picture, (70, -5, 20, 10), 1, "").shape == (20, 20, 3)
    assert cut_box(picture, (0, 0, 500, 500), 1, "").shape == (80, 80, 3)
    for box in ((90, 0, 5, 5), (0, 0, 0, 5), (0, 0, float("nan"), 5), (-50, 0, 40, 40)):
        with pytest.raises(DataError, match=r"the box .* lies outside the picture"):
            cut_box(picture, box, 1, "f.png")


def test_a_large_set_is_mapped_not_loaded(tmp_path, own_cache):
    """A task's images of an official part are the mapped file itself: no process holds a copy in memory."""
    import torch

    from trainables.data.task import Images

    faces = TREES["affectnet"](tmp_path).read()
    train = np.flatnonzero(faces.metadata["split"] == "train")
    images = Images.from_faces(faces.select_classes(faces.classes), train, torch.device("cpu"))
    assert np.shares_memory(images.pixels.numpy(), faces.images) and isinstance(faces.images, np.memmap)
    with open("/proc/self/maps") as maps:
        assert str(own_cache / f"{faces.origin}.bytes") in maps.read()


def test_a_cache_folder_that_cannot_be_written_is_replaced(tmp_path, monkeypatch, capsys):
    """A read-only home folder stops no command: a private temporary folder takes its place, and one line says so."""
    (tmp_path / "file").write_text("in the way")
    for name in ("FERRAY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = decoded_cache.get_cache_folder()
    assert folder == tmp_path / f"ferray-cache-{os.getuid()}" and folder.stat().st_mode & 0o777 == 0o700
    assert decoded_cache.get_cache_folder() == folder
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path / 'file'}/.cache/ferray cannot be written; decoded images are kept in {folder}")


def change_in_place(file: Path) -> None:
    """Change a byte of a file. Its size and its modification time stay."""
    times = os.stat(file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x40
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("large", [False, True])
def test_bytes_that_changed_under_the_same_time_are_decoded_again(tmp_path, own_cache, monkeypatch, capsys, large):
    """They used to train other data under the same keys. What the disk says of a large file tells it, without reading it."""
    if large:
        monkeypatch.setattr(memory_map, "LARGE", 10)
    items = pictures(tmp_path / "set", 3)
    whole = np.array(decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4)).values)
    change_in_place(next(own_cache.glob("*.bytes")))
    assert np.array_equal(decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4)).values, whole)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("was changed after it was written; its pictures are decoded again")
    decoded_cache.decode_rows(tmp_path / "set", items, DecodeOptions(4))
    assert not capsys.readouterr().err


@pytest.mark.parametrize("ending", ["json", "text"])
def test_another_sets_entry_is_not_believed(tmp_path, own_cache, ending):
    trees = {name: TREES[name](tmp_path) for name in ("cafe", "jaffe")}
    whole = {name: (np.array(tree.read().images), tree.read().fingerprint) for name, tree in trees.items()}
    first, second = sorted(own_cache.glob(f"*.{ending}"))
    content = first.read_bytes(), second.read_bytes()
    first.write_bytes(content[1])
    second.write_bytes(content[0])
    for name, tree in trees.items():
        faces = tree.read()
        assert np.array_equal(faces.images, whole[name][0]) and faces.fingerprint == whole[name][1]
