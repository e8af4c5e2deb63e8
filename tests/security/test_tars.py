"""Tars that point elsewhere, lie about their sizes or wind up on themselves.

Pickles, cut and damaged shards, words that are no JSON: `tests/data/test_shards.py`.
"""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from i2i_dds.data import shards as shards_module
from i2i_dds.data.shards import BrokenSample, Shards
from i2i_dds.errors import UserError


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(stream, "PNG")
    return stream.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **more: object):
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    for key, value in more.items():
        setattr(found, key, value)
    return found


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(member(name, size=len(data)), io.BytesIO(data))


def whole(tar: tarfile.TarFile) -> None:
    """The one sample that each of these shards has besides."""
    add(tar, "whole.png", png())
    add(tar, "whole.txt", b"a cat")


LINKS = [
    *(member(f"a.{kind}", tarfile.SYMTYPE, "/etc/passwd") for kind in ("png", "txt", "json")),
    *(member(f"b.{kind}", tarfile.LNKTYPE, "../../secret.png") for kind in ("png", "txt")),
    *(member("c.png", kind) for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)),
    *(member("d.png", tarfile.DIRTYPE), member("d.txt", tarfile.CONTTYPE)),
    *(member("e.png", b"Z"), member("e.txt", tarfile.SYMTYPE, "e.txt")),
]


def test_links_devices_and_pipes_are_no_samples(tmp_path: Path) -> None:
    (tmp_path.parent / "secret.png").write_bytes(png())
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for one in LINKS:
            tar.addfile(one)
        whole(tar)
    found = Shards(tmp_path)
    read = [(sample["key"], sample["caption"]) for sample in found if sample["key"] == "whole"]
    assert read == [("whole", "a cat")]
    for index, record in enumerate(found.records):
        if record.key != "whole":  # of a kind that tarfile does not know, and takes for a file
            with pytest.raises(BrokenSample):
                found.read(index)


NAMES = ["/etc/evil.png", "../../evil.png", "a/../../evil.png", "./evil.png", "~/evil.png"]
NAMES += ["C:\\evil.png", "evil\n.png", "${HOME}.png", "a" * 300 + ".png", ".png"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_write_nothing_and_are_keys_alone(tmp_path, name: str) -> None:
    (tmp_path / "s").mkdir()
    with tarfile.open(tmp_path / "s" / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, name, png())
    before = sorted(tmp_path.rglob("*"))
    (sample,) = Shards(tmp_path / "s")
    assert sample["image"].getpixel((0, 0)) == (255, 0, 0)
    assert name.startswith(sample["key"]) and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("size", [1, 10**9, 2**40, 2**62, 8**11 - 1])
def test_a_declared_size_that_is_not_there_is_refused(tmp_path: Path, size: int) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        whole(tar)
        tar.addfile(member("a.png", size=size))  # without its data
    if size > 1024:
        with pytest.raises(UserError, match=r"^folder: the shard '.*a\.tar' is missing, cut"):
            Shards(tmp_path)


@pytest.mark.parametrize("size", [-1, -256, -512, -1024, -(2**40)])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, b"Z"])
def test_a_size_below_zero_leads_not_back(tmp_path: Path, size: int, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        whole(tar)
        head = bytearray(member("a.png", kind).tobuf())
        head[124:136] = size.to_bytes(12, "big", signed=True)
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        tar.fileobj.write(bytes(head))  # type: ignore[union-attr]
    with pytest.raises(UserError, match="missing, cut short or damaged .*(below 0|header|end)"):
        Shards(tmp_path)


def test_words_and_pictures_of_gigabytes_are_not_read(tmp_path: Path, monkeypatch) -> None:
    """Files with holes, which take no room on the disk."""
    for name, size in (("a.txt", 2**33), ("a.json", 2**33)):
        with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
            tar.addfile(member(name, size=size))
        with open(tmp_path / "a.tar", "rb+") as file:
            file.truncate(512 + size + 1024)
        with pytest.raises(UserError, match=r"a\.(txt|json) is larger than 16 MiB"):
            Shards(tmp_path)
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(member("a.png", size=2**33))
    os.truncate(tmp_path / "a.tar", 512 + 2**33 + 1024)
    with pytest.raises(BrokenSample):
        Shards(tmp_path).read(0)
    monkeypatch.setattr(shards_module, "LARGEST_FILE", 5)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        whole(tar)
    with pytest.raises(BrokenSample):
        Shards(tmp_path).read(0)


def pax(values: dict[str, str]) -> tarfile.TarInfo:
    return member("a.png", pax_headers=values)


@pytest.mark.parametrize(
    "values",
    [
        *({"size": value} for value in ("-1", "x", "9" * 30, "1e9", "٣")),
        *({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, {"GNU.sparse.map": "0,99,-1"}),
        *({"path": "../../x.png"}, {"linkpath": "/etc/passwd"}, {"mtime": "nan"}),
        *({"hdrcharset": "BINARY", "path": "x"}, {"a" * 5000: "b" * 5000}),
    ],
    ids=str,
)
def test_odd_pax_headers_are_refused_or_mean_nothing(tmp_path: Path, values) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(pax(values))
        whole(tar)
    try:
        found = Shards(tmp_path)
    except UserError as error:
        assert "missing, cut short or damaged" in str(error) or "no picture" in str(error)
        return
    for index in range(len(found)):
        try:
            found.read(index)
        except BrokenSample:
            continue


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, b"x"])
def test_headers_that_only_lead_to_headers_end(tmp_path: Path, kind: bytes) -> None:
    head = member("x", kind).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(head * 5000 + bytes(1024))
    with pytest.raises(UserError, match="damaged"):
        Shards(tmp_path)


def test_a_compressed_bomb_is_no_shard(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(gzip.compress(bytes(2**26), mtime=0))
    with pytest.raises(UserError, match="missing, cut short or damaged"):
        Shards(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 100_000, '{"caption":' * 20_000, '{"caption": 1' + "0" * 5000 + "}"),
        *('{"caption": "\\ud800"}', '{"caption": {"a": 1}}', '{"caption": NaN}', '"a"', "null"),
    ],
)
def test_json_bombs_are_refused(tmp_path: Path, text: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "a.png", png())
        add(tar, "a.json", text.encode())
    with pytest.raises(UserError, match=r"a\.json"):
        Shards(tmp_path)


@pytest.mark.parametrize(
    "name", ["../a.tar", "/etc/passwd", "a\0.tar", "x" * 300 + ".tar", "", ".", "..", "s/a.tar"]
)
def test_a_manifest_names_files_of_its_folder_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    manifest = {"shards": [{"name": name, "bytes": 0}]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"^folder: .*(is no shard manifest|missing, cut short)"):
        Shards(tmp_path)
