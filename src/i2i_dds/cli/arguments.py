"""The command line before Hydra reads it: what is no ``key=value`` is refused in one sentence."""

import json
import os
import re
import shlex
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import Any, NoReturn

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import HydraException

from i2i_dds.cli.explain import nearest_keys
from i2i_dds.cli.root import Root
from i2i_dds.errors import UserError
from i2i_dds.reading import is_text

_WRITTEN = "options are written key=value"
_HAS_KEY = re.compile(r"~|\+{0,2}[^=+]+=")
INPUTS = (
    *("teacher.path", "teacher.revision", "teacher.variant", "teacher.config"),
    *("teacher.vae", "teacher.lora"),
    *("image", "mask", "item", "ckpt", "ckpt_path", "judge", "clip", "dino"),
    *("root", "path", "prompts", "folder", "data.folder", "features.teacher"),
)
"""Keys of files and folders that are read, and of which of a hub's, of any command."""

OUTPUTS = (
    *("out", "lora_dir", "runs", "hydra.run.dir"),
    *("paths.output_dir", "paths.sweep_dir", "paths.data_dir", "paths.lora_dir"),
    *("paths.benchmark_dir", "paths.suffix"),
)
"""Keys of folders that are written, which may refer to other keys by ``${...}``."""

_TASK_TEXT = re.compile(r"task\.tasks\.[^.]+\.(append|instruction)")
_REFERENCE = re.compile(r"(?<!\\)(?:\\\\)*\$\{")
"""One that Hydra would resolve, by an even number of backslashes before it."""

_ENTRY = re.compile(
    r"""(?<=[\[,])\s*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*(?=[,\]])""", re.DOTALL
)
"""A quoted entry of a list."""

_ENVIRONMENT = re.compile(r"\$\{\s*oc\.")
"""OmegaConf's own resolvers, of which one reads the environment, as a shell does with ``$NAME``."""

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
    for argument in arguments:
        _check_encoding(argument)
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
        keys: The keys whose values are text. Those of :data:`INPUTS` and :data:`OUTPUTS` are added.

    Returns:
        The arguments. Left alone are ``null``, nothing, a list in brackets, a value in quotes
        from its first character to its last, with ``--multirun`` a sweep, and an output folder
        that refers to other keys by ``${...}``. All else arrives letter by letter, ``${`` and
        backslashes included; in lists, quotes and sweeps too nothing is put for a ``${...}``,
        which could be a secret of the environment.

    Raises:
        UserError: An output folder refers to the environment.
    """
    multirun = "-m" in arguments or "--multirun" in arguments

    def quoted(argument: str) -> str:
        key, equals, value = argument.partition("=")
        name = key.lstrip("+")
        literal = name in keys or name in INPUTS or _TASK_TEXT.fullmatch(name) is not None
        if name in OUTPUTS and _ENVIRONMENT.search(value):
            raise UserError(
                f"{name}: '{value}' refers to the environment, which lands in no folder's name; "
                'have the shell put it there, as in "$HOME"'
            )
        if not literal and (name not in OUTPUTS or "${" in value):
            return argument
        if value in ("", "null", "???"):
            return argument
        sweep = multirun and re.search(r"[,(]", value)
        if sweep or _is_list(value) or _is_quoted(value):
            return _unresolved(argument) if _REFERENCE.search(value) else argument
        return f"{key}{equals}{_as_typed(value)}"

    return [quoted(argument) for argument in arguments]


def _as_typed(text: str) -> str:
    """Quoted so that Hydra and OmegaConf give back the text letter by letter."""
    # Where a backslash stands before a quote, or before an interpolation, it escapes that.
    escaped = literal_text(text)
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", escaped)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f"'{escaped}'"


def literal_text(text: str) -> str:
    """Such that OmegaConf gives back the text where it resolves what it refers to."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def _unresolved(argument: str) -> str:
    """A list, a quoted value or a sweep, in whose texts no ``${...}`` is resolved."""
    try:
        override = OverridesParser.create().parse_override(argument)
        value = override.value()
    except HydraException:  # told when Hydra reads it
        return argument
    return f"{argument.partition('=')[0]}={_written(value)}"


def _written(value: Any) -> str:
    """What Hydra's parser made of a value, as it is typed."""
    if isinstance(value, ChoiceSweep):
        return ",".join(map(_written, value.list))
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, QuotedString):
        return _as_typed(value.text)
    return _as_typed(value) if isinstance(value, str) else json.dumps(value)


def _is_list(value: str) -> bool:
    """Whether the first bracket is closed by the last character, and not before."""
    value = _ENTRY.sub("", value)  # brackets in it are none of the list's
    depths = list(accumulate((char == "[") - (char == "]") for char in value))
    return value[:1] == "[" and depths[-1] == 0 and depths.index(0) == len(depths) - 1


def _is_quoted(value: str) -> bool:
    return re.fullmatch(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", value, re.DOTALL) is not None


def _check_encoding(argument: str) -> None:
    """Refuses bytes that are no text, as file names of another encoding have."""
    if not is_text(argument):
        key, _, value = argument.partition("=")
        raise UserError(f"{key}: {value!r} is not UTF-8; rename the file, or type it in UTF-8")


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
