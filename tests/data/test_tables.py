import io
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from i2i_dds.data.folders import folder_samples, open_samples
from i2i_dds.data.shards import BrokenSample, write_shards
from i2i_dds.data.tables import TablePictures
from i2i_dds.errors import UserError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (level,) * 3).save(file, "PNG")
    return file.getvalue()


def rows(levels: list[int], named: bool = True, words: bool = True) -> Any:
    """A table as `datasets` has it: a picture's bytes and name, and what it shows."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = [{"bytes": png(n), "path": f"{n}.png" if named else None} for n in levels]
    columns = {"id": pa.array(levels), "image": pa.array(pictures, kind)}
    return pa.table({**columns, "text": [f"cat {n}" for n in levels]} if words else columns)


def write(path: Path, table: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
        return
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=2)


@pytest.mark.parametrize("name", ["data/{}-00000-of-00001.parquet", "{}/data-00000-of-00001.arrow"])
def test_rows_are_samples_with_their_splits(name: str, tmp_path: Path) -> None:
    write(tmp_path / name.format("train"), rows([10, 20, 30]))
    write(tmp_path / name.format("validation"), rows([200]))
    found = open_samples(tmp_path)
    assert isinstance(found, TablePictures) and len(found) == 4
    told = [(record.caption, record.split) for record in found.records]
    assert told == [*(("cat " + n, "train") for n in ("10", "20", "30")), ("cat 200", "val")]
    levels = [found.read(i)["image"].getpixel((0, 0))[0] for i in (3, 0, 2, 1)]  # type: ignore[index]
    assert levels == [200, 10, 30, 20]
    copied = pickle.loads(pickle.dumps(found))
    assert copied.read(3)["image"].getpixel((0, 0)) == (200, 200, 200)
    made = list(folder_samples(tmp_path, size=4))
    assert [sample["split"] for sample in made] == ["train", "train", "train", "val"]
    assert made[0]["image"].size == (4, 4) and made[0]["key"] == found.records[0].key


@pytest.mark.parametrize("named", [True, False])
def test_a_row_that_is_added_moves_no_other(named: bool, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", rows([10, 20], named))
    before = {record.caption: record.key for record in open_samples(tmp_path).records}
    write(tmp_path / "a.parquet", rows([5, 10, 20], named))
    after = {record.caption: record.key for record in open_samples(tmp_path).records}
    assert len(set(after.values())) == 3 and before.items() <= after.items()


def test_equal_pictures_without_names_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", rows([10, 20], named=False))
    before = {record.key for record in open_samples(tmp_path).records}
    write(tmp_path / "a.parquet", rows([10, 10, 20], named=False))
    after = [record.key for record in open_samples(tmp_path).records]
    assert len(set(after)) == 3 and before < set(after)
    assert len(write_shards(folder_samples(tmp_path), tmp_path / "s")["shards"]) == 1


def test_pictures_may_be_bytes_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", pa.table({"jpg": [png(10), png(20), png(30)]}))
    found = open_samples(tmp_path, caption="a cat")
    assert [found.read(i)["image"].getpixel((0, 0)) for i in range(3)] == [
        (10, 10, 10), (20, 20, 20), (30, 30, 30)
    ]  # fmt: skip
    assert {record.caption for record in found.records} == {"a cat"}


def test_a_row_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    table = rows([10, 20, 30])
    broken = [*table.column("image").to_pylist()[:2], {"bytes": b"no picture", "path": "c"}]
    kind = table.schema.field("image").type
    write(tmp_path / "a.parquet", table.set_column(1, "image", pa.array(broken, kind)))
    with pytest.raises(BrokenSample, match=r"^a\.parquet:1:0$"):
        open_samples(tmp_path).read(2)
    passed: dict[str, str] = {}
    assert len(list(folder_samples(tmp_path, unreadable=passed))) == 2
    assert list(passed) == ["a.parquet:1:0"]


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_what_is_no_table_of_pictures_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    write(path, rows([10, 20], words=False))
    with pytest.raises(UserError, match=r"^caption: 2 of the 2 rows of .* have none, the first is"):
        open_samples(tmp_path)
    write(path, rows([1]).drop_columns(["image"]))
    with pytest.raises(UserError, match="has no column of pictures; .* it has id, text"):
        open_samples(tmp_path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=r"folder: '.*a\.\w+' cannot be read"):
        open_samples(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"folder: '.*a\.\w+' cannot be read"):
        open_samples(tmp_path)


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.parquet", rows([10]))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("i2i_dds.data.tables.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'i2i-dds\[parquet\]'"):
        open_samples(tmp_path)
