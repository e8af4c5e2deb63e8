"""Ways to damage a file: its bytes, its parts with their checksums put right, its values."""

import io
import json
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import torch

Mutator = Callable[[bytes, random.Random], bytes]
"""From a valid file to one that need not be."""

DEEP = "\0deep\0"
"""Stands in a tree for a value that is nested too deeply for Python's own writer."""

NUMBERS = (0, 1, -1, 2, 3, 7, 255, 256, 65535, 2**24, 2**31 - 1, 2**31, 2**32, 2**63, 10**30)
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", [], {}, [[]], [None], DEEP, "a", "x" * 5000, "\u2028", "\ud800", "\0"),
    *(0.5, -0.0, 1e308, float("nan"), float("inf"), 10**400, 10**5000, *NUMBERS),
    *("../../../etc/passwd", "/dev/zero", "/dev/stdin", "http://127.0.0.1:9/a.png", "~root"),
    *("${oc.env:HOME}", {"_target_": "os.system", "_args_": ["touch ran"]}, "os.system"),
    *({"AutoModel": "evil--evil.Model"}, "evil/kernels", "bert", "float64", "int8", [2**31] * 3),
)


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """A few bytes, words or slices of it are others."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        _change(found, rng)
    return bytes(found)


def _change(data: bytearray, rng: random.Random) -> None:
    at, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 64, 1024))
    match rng.randrange(9):
        case 0:
            data[at:] = b""
        case 1 | 2 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 3:
            number = rng.choice(NUMBERS) % 2**32
            data[at : at + 4] = struct.pack(rng.choice((">I", "<I")), number)
        case 4:
            data[at : at + length] = bytes([rng.choice((0, 255, 32, 48, 127))]) * length
        case 5:
            data[at:at] = rng.randbytes(length)
        case 6:
            del data[at : at + length]
        case 7:
            data[at:at] = data[at : at + length] * rng.choice((1, 2, 30))
        case 8:
            there = rng.randrange(len(data) + 1)
            data[at : at + length] = data[there : there + length]


def json_changed(data: bytes, rng: random.Random) -> bytes:
    """Values of a JSON text are others, or gone, or there twice."""
    tree = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        tree = tree_changed(tree, rng)
    return as_json(tree)


def lines_changed(data: bytes, rng: random.Random) -> bytes:
    """As ``json_changed``, in one of several lines."""
    lines = data.splitlines()
    number = rng.randrange(len(lines))
    lines[number] = json_changed(lines[number], rng)
    return b"\n".join(lines)


def as_json(tree: Any) -> bytes:
    """The tree as JSON, of any numbers and any depth."""
    if isinstance(tree, int) and abs(tree) >= 10**4000:  # Python writes none of so many digits
        return b"1" + b"0" * 5000
    if isinstance(tree, dict):
        pairs = (as_json(str(name)) + b":" + as_json(value) for name, value in tree.items())
        return b"{" + b",".join(pairs) + b"}"
    if isinstance(tree, list):
        return b"[" + b",".join(map(as_json, tree)) + b"]"
    return b"[" * 100_000 + b"]" * 100_000 if tree == DEEP else json.dumps(tree).encode()


def tree_changed(tree: Any, rng: random.Random) -> Any:
    """A copy with one place of it changed, most often one deep inside."""
    if isinstance(tree, dict) and tree and rng.random() < 0.95:
        name = rng.choice(list(tree))
        if rng.random() < 0.1:
            return {key: value for key, value in tree.items() if key != name}
        if rng.random() < 0.05:
            return {**tree, _name(rng): rng.choice(VALUES)}
        return {**tree, name: tree_changed(tree[name], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.8:
        at = rng.randrange(len(tree))
        changed = [] if rng.random() < 0.1 else [tree_changed(tree[at], rng)]
        return [*tree[:at], *changed, *tree[at + 1 :]]
    if isinstance(tree, torch.Tensor) and rng.random() < 0.7:
        return _tensor(tree, rng)
    if isinstance(tree, str) and rng.random() < 0.3:
        return bytes_changed(tree.encode(errors="replace"), rng).decode(errors="replace")
    return rng.choice(VALUES)


def _name(rng: random.Random) -> str:
    return rng.choice(("_target_", "auto_map", "trust_remote_code", "quantization_config", "a", ""))


def _tensor(tensor: torch.Tensor, rng: random.Random) -> torch.Tensor:
    kinds = (torch.float16, torch.int8, torch.bool, torch.complex64)
    return rng.choice((tensor[:0], tensor[None], tensor * float("nan"), tensor.to("meta"),
                       tensor.to_sparse(), tensor.to(rng.choice(kinds))))  # fmt: skip


def parts_changed(split: Callable[[bytes], list[bytes]], join: Callable[[list[bytes]], bytes]):
    """A mutator of one of a file's parts, after which its lengths and checksums are right.

    Args:
        split: The parts of a file.
        join: The file of parts.
    """

    def changed(data: bytes, rng: random.Random) -> bytes:
        parts = split(data)
        at = rng.randrange(len(parts))
        match rng.randrange(6):
            case 0:
                parts.insert(rng.randrange(len(parts) + 1), parts[at])
            case 1 if len(parts) > 1:
                del parts[at]
            case _:
                parts[at] = part_changed(parts[at], rng)
        return join(parts)

    return changed


def part_changed(part: bytes, rng: random.Random) -> bytes:
    """A part, its values changed where it is JSON, else its bytes."""
    try:
        return json_changed(part, rng) if rng.random() < 0.8 else bytes_changed(part, rng)
    except (ValueError, IndexError):
        return bytes_changed(part, rng)


def _png_split(data: bytes) -> list[bytes]:
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append(data[at + 4 : at + 8 + length])
        at += length + 12
    return chunks


def _png_join(chunks: list[bytes]) -> bytes:
    made = (struct.pack(">I", max(len(c) - 4, 0)) + c + struct.pack(">I", zlib.crc32(c))
            for c in chunks)  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def _tar_split(data: bytes) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        starts = [member.offset for member in tar] + [tar.offset]
    return [data[start:end] for start, end in zip(starts, starts[1:], strict=False)]


def _tar_join(members: list[bytes]) -> bytes:
    made = b""
    for member in members:
        head = bytearray(member[:512].ljust(512, b"\0"))
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % (sum(head) % 8**6)
        body = member[512:]
        made += bytes(head) + body + bytes(-len(body) % 512)
    return made + bytes(1024)


def _zip_split(data: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [name.encode() + b"\n" + archive.read(name) for name in archive.namelist()]


def _zip_join(members: list[bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for member in members:
            name, _, body = member.partition(b"\n")
            archive.writestr(name.decode(errors="replace").partition("\0")[0] or "x", body)
    return stream.getvalue()


def _safetensors_split(data: bytes) -> list[bytes]:
    length = int.from_bytes(data[:8], "little")
    return [data[8 : 8 + length], data[8 + length :]]


def _safetensors_join(parts: list[bytes]) -> bytes:
    return len(parts[0]).to_bytes(8, "little") + b"".join(parts)


def saved_changed(data: bytes, rng: random.Random) -> bytes:
    """What ``torch.save`` wrote, with values of it changed."""
    tree = torch.load(io.BytesIO(data), weights_only=True)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        tree = tree_changed(tree, rng)
    stream = io.BytesIO()
    torch.save(tree, stream)
    return stream.getvalue()


png_changed = parts_changed(_png_split, _png_join)
tar_changed = parts_changed(_tar_split, _tar_join)
zip_changed = parts_changed(_zip_split, _zip_join)
safetensors_changed = parts_changed(_safetensors_split, _safetensors_join)
