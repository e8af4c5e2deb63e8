"""Results on disk: written aside under another name, then renamed, so that none is half there."""

import errno
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_dds.errors import UserError

LONGEST_NAME = 200
"""Bytes of a file's name, without its suffix."""


@contextmanager
def run_folder(path: str | Path) -> Iterator[Path]:
    """Collects a run's files in ``<path>.partial-<pid>``, which becomes ``path`` on success.

    Args:
        path: The folder to make. It may exist if it is empty.

    Yields:
        The temporary folder to write into; it is removed when the body raises.

    Raises:
        UserError: ``path`` holds files already, or the disk is full.
    """
    path = Path(path)
    _refuse_used(path)
    with disk_errors(path), _partial_folder(path) as partial:
        yield partial
        _refuse_used(path)
        os.replace(partial, path)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """As `run_folder`, but on success the new folder takes the place of one that is there.

    Of a link it takes the place too; what the link leads to stays.
    """
    path = Path(path)
    with disk_errors(path), _partial_folder(path) as partial:
        yield partial
        if path.is_symlink():
            path.unlink()
        shutil.rmtree(path, ignore_errors=True)
        os.replace(partial, path)


@contextmanager
def _partial_folder(path: Path) -> Iterator[Path]:
    """A new folder beside ``path``, removed when the body raises."""
    name = f"{path.name}.partial-{os.getpid()}"
    while (partial := path.with_name(name)).exists():  # of a run that was killed; it is not ours
        name += "-1"
    try:
        partial.mkdir(parents=True)
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary name beside ``path``, with its suffix; on success it replaces ``path``.

    Args:
        path: The file to write. Its folder is made when absent.

    Yields:
        The name to write to. When the body raises, it is removed and ``path`` stays as it was.

    Raises:
        UserError: The disk is full or the folder cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{shortened(path.stem)}.partial-{os.getpid()}{path.suffix}")
    try:
        with disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            _to_disk(partial)
            os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def shortened(name: str, most: int = LONGEST_NAME) -> str:
    """A name of at most ``most`` bytes: a longer one is cut, and a hash of all of it put behind.

    File systems take 255 bytes; what is left is for suffixes.
    """
    if len(name.encode()) <= most:
        return name
    digest = blake2b(name.encode(), digest_size=4).hexdigest()
    return name.encode()[: most - len(digest) - 1].decode(errors="ignore") + f"-{digest}"


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Writes ``content`` as indented JSON; arrays and tensors become numbers, NaN becomes null."""
    text = json.dumps(plain(content), indent=2, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def write_text(path: str | Path, content: str) -> None:
    """Writes ``content`` in UTF-8."""
    with replacing(path) as partial:
        partial.write_text(content, encoding="utf-8")


def write_image(path: str | Path, image: Image.Image, **options: Any) -> None:
    """Writes ``image`` in the format of the suffix; ``options`` go to ``Image.save``."""
    with replacing(path) as partial:
        image.save(partial, **options)


def plain(value: Any) -> Any:
    """Turns a value into what JSON knows: dict, list, str, bool, int, finite float or None.

    Args:
        value: Any nesting of mappings, sequences, paths, numbers, numpy arrays and tensors
            (of any shape; a scalar becomes a number).

    Returns:
        The same content in plain Python; a non-finite number becomes None.

    Raises:
        TypeError: A value of another kind.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
        return plain(value.tolist())
    raise TypeError(f"cannot write a {type(value).__name__} as JSON")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _refuse_used(path: Path) -> None:
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise UserError(f"run folder: {str(path)!r} holds files already; give a new or empty one")


def _to_disk(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


_DISK_ERRORS = {
    errno.ENOSPC: "no space is left on its disk",
    errno.EDQUOT: "its disk quota is used up",
    errno.EFBIG: "files as large as that are not allowed there",
    errno.EROFS: "its disk is read-only",
    errno.EACCES: "it may not be written by this user",
}


_PARTIAL = re.compile(r"\.partial-\d+(-1)*(?=/|$)")
"""What a folder's name has behind it while it is written."""


@contextmanager
def disk_errors(folder: str | Path) -> Iterator[None]:
    """Names ``folder`` where something in it, or without a name, could not be written.

    Raises:
        UserError: The disk is full, or the folder may not be written.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        found = _disk_error(error)
        reason = None if found is None else _DISK_ERRORS.get(found.errno or 0)
        elsewhere = found and found.filename is not None and not _is_under(found.filename, folder)
        if reason is None or elsewhere:
            raise
        named = _PARTIAL.sub("", str(folder))  # as asked for: the temporary one is gone by then
        raise UserError(
            f"run folder: cannot write in {named!r}, {reason}; give a folder with room"
        ) from error


def _disk_error(error: BaseException) -> OSError | None:
    """What the system said, also where a library of weights says it in words of its own."""
    cause: BaseException | None = error
    for _ in range(10):  # an exception may be among its own causes
        if isinstance(cause, OSError):
            return cause
        if cause is None:
            break
        said = re.search(r"\(os error (\d+)\)", str(cause))
        if said:
            return OSError(int(said[1]), str(cause))
        cause = cause.__cause__ or cause.__context__
    return None


def _is_under(path: str | bytes | int, folder: str | Path) -> bool:
    if isinstance(path, int):
        return False
    return Path(os.fsdecode(path)).absolute().is_relative_to(Path(folder).absolute().parent)
