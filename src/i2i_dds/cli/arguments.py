"""The command line before Hydra reads it: what is no ``key=value`` is refused in one sentence."""

import os
import re
import shlex
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import NoReturn

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser

from i2i_dds.cli.explain import nearest_keys
from i2i_dds.cli.root import Root
from i2i_dds.errors import UserError

_WRITTEN = "options are written key=value"
_HAS_KEY = re.compile(r"~|\+{0,2}[^=+]+=")
PATHS = (
    *("teacher.path", "teacher.revision", "teacher.variant"),
    *("image", "mask", "item", "ckpt", "ckpt_path", "judge", "clip", "dino"),
    *("root", "out", "path", "prompts", "folder", "lora_dir", "data.folder", "features.teacher"),
    *("paths.output_dir", "paths.sweep_dir", "paths.data_dir", "paths.lora_dir"),
    *("paths.benchmark_dir", "runs", "hydra.run.dir"),
)
"""Keys of files and folders, and of which of a hub's, of any command."""

_MODES = ("run", "multirun", "cfg", "info")


def checked(arguments: Sequence[str], root: Root) -> Sequence[str]:
    """Refuses options that Hydra does not know, and words without a key.

    Args:
        arguments: The command line without the program's name.
        root: The command's root config, for suggestions.

    Returns:
        The arguments; Hydra's own options go last where one stands between two ``key=value``,
        which Hydra would not read.

    Raises:
        UserError: For what cannot be meant for Hydra, such as ``--steps 3`` or ``cat.png``.
    """
    parser = get_args_parser()
    parser.error = _refuse
    found, unknown = parser.parse_known_args(list(arguments))
    flags = [argument for argument in unknown if _is_flag(argument)]
    words = [*found.overrides, *(argument for argument in unknown if argument not in flags)]
    if flags:
        advice = _rewritten(arguments, flags, root)
        raise UserError(f"{', '.join(flags)}: {_WRITTEN}; give {advice}")
    for word in words:
        if not _HAS_KEY.match(word):
            raise UserError(f"{word!r}: {_WRITTEN}{_advice(word, root)}")
    modes = [f"--{mode}" for mode in _MODES if getattr(found, mode)]
    if len(modes) > 1:
        raise UserError(f"{' and '.join(modes)} exclude each other; give one of them")
    return sorted(arguments, key=lambda argument: argument not in words) if unknown else arguments


def quote_text(arguments: Sequence[str], keys: Collection[str]) -> list[str]:
    """Quotes the values of free-text keys and of paths, so that Hydra reads them as typed.

    Args:
        arguments: The command line without the program's name.
        keys: The keys whose values are text. Those of :data:`PATHS` are added.

    Returns:
        The arguments. Left alone are ``null``, nothing, a list in brackets, a value in quotes
        from its first character to its last, with ``--multirun`` a sweep, and a path that refers
        to other keys by ``${...}``. All else arrives letter by letter, ``${`` and backslashes
        included.
    """
    multirun = "-m" in arguments or "--multirun" in arguments

    def quoted(argument: str) -> str:
        key, equals, value = argument.partition("=")
        name = key.lstrip("+")
        if name not in keys and name not in PATHS:
            return argument
        if value in ("", "null", "???") or _is_list(value) or _is_quoted(value):
            return argument
        if (multirun and re.search(r"[,(]", value)) or (name not in keys and "${" in value):
            return argument
        # Where a backslash stands before a quote, or before an interpolation, it escapes that.
        escaped = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
        escaped = re.sub(r"(\\*)'", r"\1\1\\'", escaped)
        escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
        return f"{key}{equals}'{escaped}'"

    return [quoted(argument) for argument in arguments]


def _is_list(value: str) -> bool:
    """Whether the first bracket is closed by the last character, and not before."""
    depths = list(accumulate((char == "[") - (char == "]") for char in value))
    return value[:1] == "[" and depths[-1] == 0 and depths.index(0) == len(depths) - 1


def _is_quoted(value: str) -> bool:
    return re.fullmatch(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", value, re.DOTALL) is not None


def _refuse(message: str) -> NoReturn:
    raise UserError(message)


def _is_flag(argument: str) -> bool:
    return re.match(r"--?[A-Za-z_]", argument) is not None


def _rewritten(arguments: Sequence[str], flags: Sequence[str], root: Root) -> str:
    """The same settings as they are to be typed, such as ``task=cat2lion trainer.max_steps=3``."""
    given = [argument for argument in arguments if "=" in argument and not _is_flag(argument)]
    pairs = []
    for flag in flags:
        name, _, value = flag.lstrip("-").partition("=")
        following = [*arguments, ""][list(arguments).index(flag) + 1]
        if not value:
            value = "<value>" if _is_flag(following) or "=" in following else following
        pairs.append((name.replace("-", "_"), value or "<value>"))
    known = {*root.keys, *root.groups}
    given += [f"{key}={value}" for key, value in pairs if key in known and value != "<value>"]
    keys = [key if key in known else _full_key(key, given, root) for key, _ in pairs]
    return " ".join(_quoted(f"{key}={value}") for key, (_, value) in zip(keys, pairs, strict=True))


def _full_key(key: str, given: Sequence[str], root: Root) -> str:
    """The config's key that ``key`` stands for, or itself, also where no config can be made."""
    with suppress(Exception), initialize_config_dir(str(root.file.parent), version_base="1.3"):
        cfg = compose(root.file.stem, list(given))
        return next(iter(nearest_keys(key, cfg)), key)
    return key


def _advice(word: str, root: Root) -> str:
    """What to type for a bare word."""
    if os.path.isfile(word) and "image" in root.keys:
        return "; give " + _quoted(f"image={word}")
    if word in (*root.keys, *root.groups):
        return f"; give {word}=<value>"
    for group in root.groups:
        if word in root.choices(group):
            return f"; give {group}={word}"
    return ", with 'quotes' round a text of several words"


def _quoted(pair: str) -> str:
    return pair if pair.endswith("=<value>") else shlex.quote(pair)
