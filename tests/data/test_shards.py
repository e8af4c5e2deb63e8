import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_dds.data.shards import BrokenSample, Sample, Shards, write_shards
from i2i_dds.errors import UserError


def samples(n: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        Sample(
            key=f"k-{i:03d}",
            image=Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)),
            caption=f"picture {i}, ä",
            scene={"species": "cat", "x": 0.5} if i % 2 else None,
        )
        for i in range(n)
    ]


def same(a: Sample, b: Sample) -> bool:
    words = all(a[name] == b[name] for name in ("key", "caption", "scene"))
    return words and np.array_equal(np.array(a["image"]), np.array(b["image"]))


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    manifest = write_shards(samples(7), tmp_path / "s", 3, settings={"seed": 4})
    assert [shard["samples"] for shard in manifest["shards"]] == [3, 3, 1]
    assert manifest["samples"] == 7
    assert json.loads((tmp_path / "s" / "manifest.json").read_text()) == manifest
    assert manifest["settings"] == {"seed": 4}
    shards = Shards(tmp_path / "s")
    assert len(shards) == 7
    assert all(same(a, b) for a, b in zip(shards, samples(7), strict=True))
    assert same(pickle.loads(pickle.dumps(shards)).read(5), samples(7)[5])


def test_equal_samples_make_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shards(samples(3), tmp_path / name)
    files = [(tmp_path / name / "shard-00000.tar").read_bytes() for name in ("a", "b")]
    assert files[0] == files[1]


def test_webdataset_reads_what_we_write(tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")
    write_shards(samples(3), tmp_path / "s")
    pipeline = wds.WebDataset(str(tmp_path / "s" / "shard-00000.tar"), shardshuffle=False)
    for found, wanted in zip(pipeline, samples(3), strict=True):
        assert found["__key__"] == wanted["key"]
        assert np.array_equal(
            np.array(Image.open(io.BytesIO(found["png"]))), np.array(wanted["image"])
        )
        assert json.loads(found["json"])["caption"] == wanted["caption"]


def test_we_read_what_webdataset_writes(tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")
    with wds.ShardWriter(str(tmp_path / "%03d.tar"), maxcount=2, verbose=0) as writer:
        for i, sample in enumerate(samples(3)):
            words = {"txt": sample["caption"]} if i else {"json": {"text": sample["caption"]}}
            writer.write({"__key__": f"sub/{sample['key']}", "png": png(sample["image"]), **words})
    for found, wanted in zip(Shards(tmp_path), samples(3), strict=True):
        assert same(found, {**wanted, "key": f"sub/{wanted['key']}", "scene": None})


def test_write_shards_is_all_or_nothing(tmp_path: Path) -> None:
    def failing():
        yield from samples(2)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_shards(failing(), tmp_path / "s", 1)
    assert list(tmp_path.iterdir()) == []


def test_write_shards_refuses(tmp_path: Path) -> None:
    write_shards(samples(1), tmp_path / "s")
    with pytest.raises(UserError, match="out: '.*s' holds files already"):
        write_shards(samples(1), tmp_path / "s")
    with pytest.raises(UserError, match="out: there is no sample"):
        write_shards([], tmp_path / "t")
    with pytest.raises(UserError, match="samples_per_shard: 0"):
        write_shards(samples(1), tmp_path / "t", 0)
    with pytest.raises(ValueError, match="'k-000' is not unique"):
        write_shards(samples(1) * 2, tmp_path / "t")
    with pytest.raises(ValueError, match="'a.b' is not unique, or not of letters"):
        write_shards([{**samples(1)[0], "key": "a.b"}], tmp_path / "t")
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("manifest", [True, False])
@pytest.mark.parametrize("left", [0.3, 0.5, 0.95, 1.0])
def test_a_shard_cut_short_is_refused(tmp_path: Path, manifest: bool, left: float) -> None:
    big = [{**s, "image": s["image"].resize((64, 64))} for s in samples(4)]
    write_shards(big, tmp_path / "s", 2)  # type: ignore[arg-type]
    shard = tmp_path / "s" / "shard-00001.tar"
    content = shard.read_bytes()
    used = content.rstrip(b"\0")
    shard.write_bytes(content[: int(len(used) * left)])
    if not manifest:
        (tmp_path / "s" / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"folder: the shard '.*shard-00001.tar' .*cut short"):
        Shards(tmp_path / "s")


def test_a_missing_shard_is_refused(tmp_path: Path) -> None:
    write_shards(samples(4), tmp_path / "s", 2)
    (tmp_path / "s" / "shard-00000.tar").unlink()
    with pytest.raises(UserError, match="missing, cut short"):
        Shards(tmp_path / "s")


def test_folders_without_shards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"folder: .* is no folder; give one of pictures"):
        Shards(tmp_path / "none")
    with pytest.raises(UserError, match=r"holds no \.tar file"):
        Shards(tmp_path)
    (tmp_path / "a.tar").write_bytes(b"no tar" * 300)
    with pytest.raises(UserError, match="damaged"):
        Shards(tmp_path)


def test_a_bad_manifest_is_refused(tmp_path: Path) -> None:
    write_shards(samples(1), tmp_path / "s")
    (tmp_path / "s" / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match="is no shard manifest"):
        Shards(tmp_path / "s")


def test_pickles_in_a_shard_are_not_touched(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path(tmp_path / "executed").touch, ())

    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "a.png", png(samples(1)[0]["image"]))
        add(tar, "a.txt", b"a cat\n")
        for suffix in ("pkl", "pyd", "pickle"):
            add(tar, f"a.{suffix}", pickle.dumps(Bomb()))
    (sample,) = Shards(tmp_path)
    assert sample["caption"] == "a cat" and sample["scene"] is None
    assert not (tmp_path / "executed").exists()


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n")
        add(tar, "a.txt", b"a cat")
    with pytest.raises(BrokenSample, match="^a.tar:a$"):
        Shards(tmp_path).read(0)


def test_words_that_are_no_json_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "a.json", b"[1]")
    with pytest.raises(UserError, match="a.json: it holds no JSON object"):
        Shards(tmp_path)


def test_captions_of_upper_case_suffixes_marks_and_lists_are_read(tmp_path):
    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, "PNG")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "A.PNG", picture.getvalue())
        add(tar, "A.TXT", b"\xef\xbb\xbfa cat")
        add(tar, "B.png", picture.getvalue())
        add(tar, "B.JSON", b'{"caption": ["a lion", "a big cat"]}')
    assert [sample["caption"] for sample in Shards(tmp_path)] == ["a cat", "a lion"]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "A.png", picture.getvalue())
        add(tar, "A.json", b'{"caption": 3}')
    with pytest.raises(UserError, match=r"A\.json has a caption that is no text"):
        Shards(tmp_path)


def test_what_is_missing_or_passed_over_is_named(tmp_path: Path) -> None:
    picture = png(samples(1)[0]["image"])
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in (
            *(("a.png", picture), ("a.txt", b"a cat"), ("b.png", picture)),
            *(("c.txt", b"nothing to see"), ("a.jpg", b"no picture"), ("a.json", b"{}")),
            *(("d.png", picture), ("d.txt", b"a dog"), ("d.txt", b"a fox")),
        ):
            add(tar, name, data)
    shards = Shards(tmp_path)
    assert [(sample["key"], sample["caption"]) for sample in shards] == [
        *(("a", "a cat"), ("b", ""), ("d", "a dog"))
    ]
    assert shards.oddities.counts() == {
        "pictures_without_caption": 1,
        "captions_without_picture": 1,
        "duplicate_keys": 2,
    }
    assert shards.oddities.notes() == [
        "pictures have no caption: 1 ('b')",
        "captions have no picture and are passed over: 1 ('a.tar:c')",
        "files have the key of another and are passed over: 2 ('a.tar:a.jpg', 'a.tar:d.txt')",
    ]


def test_a_shard_that_comes_later_changes_no_name(tmp_path: Path) -> None:
    """Names decide what is held out; keys of shards that number anew are told apart."""
    picture = png(samples(1)[0]["image"])
    for shard in ("b.tar", "a.tar"):
        with tarfile.open(tmp_path / shard, "w") as tar:
            add(tar, "0.png", picture)
        records = [record for record in Shards(tmp_path).records]
        assert {record.name for record in records} == {"0"}
    assert [record.key for record in records] == ["a/0", "b/0"]
