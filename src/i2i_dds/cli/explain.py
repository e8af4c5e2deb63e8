"""From an exception to the one sentence that tells a user what to put right."""

import difflib
import errno
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from hydra.errors import (
    CompactHydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from i2i_dds.checks import did_you_mean, meant
from i2i_dds.cli.root import Root
from i2i_dds.distributed import launched_world_size
from i2i_dds.errors import UserError

_NOT_SET = ("hydra", "teacher.presets")
"""Hydra's own settings, and the values that others take unless they are set."""

_LOST = re.compile(
    r"gloo.*(closed|reset) by peer|gloo.*Broken pipe|Dist(Backend|Network|Store)Error|"
    r"nccl(Remote|System)Error|Connection closed by peer",
    re.DOTALL | re.IGNORECASE,
)
"""What a process hears of the network when another one of its run has ended."""

_SWEEP = {
    "hydra/launcher": ("joblib", "submitit_local", "submitit_slurm"),
    "hydra/sweeper": ("optuna",),
    "hydra/sweeper/sampler": ("tpe",),
}
"""Choices that an extra brings."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_ACCESS = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP),
)


def explain(error: BaseException, root: Root | None = None) -> str | None:
    """Finds the sentence for a mistake of the user's.

    Args:
        error: What ended the command; its causes are looked at too.
        root: The command's root config, whose groups an unknown key may have meant.

    Returns:
        One sentence, or None when the mistake is not the user's and wants a traceback.
    """
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, UserError):
            return _one_line(str(cause))
    for cause in causes:
        if isinstance(cause, ConfigKeyError | ConfigAttributeError):
            return _unknown_key(cause, root)
        if isinstance(cause, MissingMandatoryValue):
            return f"{cause.full_key}: no value is set; give {cause.full_key}=<value>"
    if isinstance(error, MissingConfigException):
        return _unknown_choice(error)
    if isinstance(error, InstantiationException):
        return _instantiation(error, causes[-1])
    if isinstance(error, OverrideParseException) and not str(error).startswith("Ambiguous"):
        return f"{error.override!r} cannot be read; give key=value, with 'quotes' round odd text"
    if isinstance(error, CompactHydraException):
        return _composition(error, root)
    if isinstance(error, OmegaConfBaseException):
        return _one_line(f"{error.full_key}: {error.msg or error}")
    if launched_world_size() > 1 and _LOST.search(f"{type(error).__name__}: {error}"):
        return "another process of this run has ended, so this one does too; see what that one says"
    return _disk(error) if isinstance(error, OSError) else None


def missing_choice(error: BaseException) -> str | None:
    """The config group that ``error`` says nothing was chosen of, such as "task"."""
    found = re.match(r"You must specify '([^']+)'", str(error))
    return found[1] if found else None


def _causes(error: BaseException) -> list[BaseException]:
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return chain


def nearest_keys(typed: str, cfg: Any, here: Iterable[str] = ()) -> list[str]:
    """The keys that somebody may have meant who typed one that perhaps does not exist.

    Args:
        typed: The dotted key that was typed; if it exists it is the only one.
        cfg: The whole config.
        here: Dotted keys that would stand where ``typed`` does; they need be less like it.

    Returns:
        Keys of the same name elsewhere, two at most, else the likeliest one, else none.
    """
    name, siblings = _name(typed), set(here)
    keys = {**dict.fromkeys(here), **dict.fromkeys(_dotted(OmegaConf.to_container(cfg)))}
    if typed in keys:
        return [typed]
    same = [key for key in keys if _name(key) == name]
    if same:
        depth = min(key.count(".") for key in same)
        near = [key for key in same if key.count(".") == depth]
        return sorted(near, key=lambda key: -_likeness(typed, key))[:2]
    scores = {}
    for key in keys:
        score = _likeness(name, _name(key))
        if key in siblings and score >= 0.6:
            scores[key] = score + 0.2
        elif (score := max(score, _likeness(typed, key))) >= 0.8:
            scores[key] = score

    def likely(key: str) -> tuple[float, bool, int]:
        return scores[key], sorted(_name(key)) == sorted(name), -key.count(".")

    return [max(scores, key=likely)] if scores else []


def _dotted(value: Any, prefix: str = "") -> Iterator[str]:
    """The dotted keys of nested dicts that are for a user to set."""
    for name, child in value.items() if isinstance(value, dict) else ():
        if f"{prefix}{name}" not in _NOT_SET:
            yield f"{prefix}{name}"
            yield from _dotted(child, f"{prefix}{name}.")


def _name(key: str) -> str:
    return key.rpartition(".")[2]


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


RENAMED = {
    "t0": "strength",
    "guidance": "guidance_scale",
    "guidance_t0": "guidance_scale_end",
    "guidance_src": "guidance_scale_src",
    "guidance_up": "guidance_scale_up",
    "noises": "num_noise",
}
"""Last parts of keys that have another name now."""


def _unknown_key(error: OmegaConfBaseException, root: Root | None) -> str:
    """Names the key that may have been meant, and the unknown key's neighbors that exist."""
    full_key, parent = str(error.full_key), error.parent_node
    if not isinstance(parent, DictConfig):
        return _one_line(f"{full_key}: {error.msg or error}")
    group = full_key.rpartition(".")[0]
    known = {str(name) for name in parent if name != "hydra"}
    if not group and root is not None:
        known |= set(root.groups)
    here = [f"{group}.{name}" if group else name for name in sorted(known)]
    now = RENAMED.get(full_key.rpartition(".")[2])
    if now in known:
        return f"{full_key}: no such key any more; give {group}{group and '.'}{now}=<value>"
    hint = meant(nearest_keys(full_key, parent._get_root(), here))
    allowed = f"allowed here are {', '.join(sorted(known))}" if known else f"{group} is one value"
    return f"{full_key}: no such key{hint}; {allowed}"


def _unknown_choice(error: MissingConfigException) -> str:
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    if not group or not error.options:
        return _one_line(str(error))
    if choice in _SWEEP.get(group, ()):
        return f"{group}: {choice!r} is not installed; pip install 'i2i-dds[sweep]' brings it"
    hint, options = did_you_mean(choice, error.options), ", ".join(error.options)
    return f"{group}: {choice!r} is not among its choices{hint}; give one of {options}"


def _mistyped(group: str, root: Root) -> str | None:
    """The key on the command line that is most like a group's name and none of the config's."""
    typed = {argument.partition("=")[0] for argument in sys.argv[1:] if "=" in argument}
    near = difflib.get_close_matches(group, typed - {*root.keys, *root.groups}, n=1)
    return near[0] if near else None


def _composition(error: CompactHydraException, root: Root | None) -> str:
    message = str(error)
    if (group := missing_choice(error)) is not None:
        options = ", ".join(message.partition("options:")[2].split())
        mistyped = None if root is None else _mistyped(group, root)
        wrong = f"{group}: no choice is made"
        if mistyped is not None:
            wrong = f"{mistyped}: no such key{meant([group])}"
        return f"{wrong}; give {group}=<choice>, one of {options}"
    ambiguous = re.match(r"Ambiguous value for argument '([^=']+)=(.*?)'\n", message, re.DOTALL)
    if ambiguous:
        key, value = ambiguous.groups()
        return (
            f"{key}: {value!r} holds a comma; "
            f"give \"{key}='{value}'\" for text, {key}=[{value}] for a list, or --multirun to sweep"
        )
    absent = re.match(r"Could not override '([^']+)'\.\s*No match in the defaults list", message)
    if absent:
        groups = "" if root is None else f"; its groups are {', '.join(root.groups)}"
        return f"{absent[1]}: this command has no such group{groups}"
    if error.__cause__ is not None and str(error.__cause__):
        message = f"{message}: {error.__cause__}"
    return _one_line(message)


def _instantiation(error: InstantiationException, root: BaseException) -> str | None:
    """A refused argument or an unknown name is the config's fault; anything else is a bug."""
    if isinstance(root, OSError):
        return _disk(root)
    if isinstance(root, InstantiationException | TypeError | ValueError | ImportError):
        return _one_line(str(error))
    return None


def _disk(error: OSError) -> str | None:
    if error.errno in _NO_ROOM:
        return f"{error.filename or 'hydra.run.dir'}: {error.strerror}; give a disk with room"
    if error.errno in _NO_ACCESS and error.filename is not None:
        return f"{error.filename}: {error.strerror}; give a path that is there and yours to use"
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
