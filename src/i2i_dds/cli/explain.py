"""From an exception to the one sentence that tells a user what to put right."""

import difflib
import errno
import re

from hydra.errors import (
    CompactHydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from i2i_dds.errors import UserError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_ACCESS = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
)


def explain(error: BaseException) -> str | None:
    """Finds the sentence for a mistake of the user's.

    Args:
        error: What ended the command; its causes are looked at too.

    Returns:
        One sentence, or None when the mistake is not the user's and wants a traceback.
    """
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, UserError):
            return _one_line(str(cause))
    for cause in causes:
        if isinstance(cause, ConfigKeyError | ConfigAttributeError):
            return _unknown_key(cause)
        if isinstance(cause, MissingMandatoryValue):
            return f"{cause.full_key}: no value is set; give {cause.full_key}=<value>"
    if isinstance(error, MissingConfigException):
        return _unknown_choice(error)
    if isinstance(error, InstantiationException):
        return _instantiation(error, causes[-1])
    if isinstance(error, OverrideParseException) and not str(error).startswith("Ambiguous"):
        return f"{error.override!r} cannot be read; give key=value, with 'quotes' round odd text"
    if isinstance(error, CompactHydraException):
        return _composition(error)
    if isinstance(error, OmegaConfBaseException):
        return _one_line(f"{error.full_key}: {error.msg or error}")
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


def _unknown_key(error: OmegaConfBaseException) -> str:
    """Names the key and its neighbours that exist, the likeliest first."""
    full_key, parent = str(error.full_key), error.parent_node
    if not isinstance(parent, DictConfig):
        return _one_line(f"{full_key}: {error.msg or error}")
    key, known = full_key.rpartition(".")[2], [str(name) for name in parent if name != "hydra"]
    close = difflib.get_close_matches(key, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{full_key}: no such key{hint}; allowed here are {', '.join(sorted(known))}"


def _unknown_choice(error: MissingConfigException) -> str:
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    if not group or not error.options:
        return _one_line(str(error))
    return f"{group}: {choice!r} is not among its choices; give one of {', '.join(error.options)}"


def _composition(error: CompactHydraException) -> str:
    message = str(error)
    if (group := missing_choice(error)) is not None:
        options = ", ".join(message.partition("options:")[2].split())
        return f"{group}: no choice is made; give {group}=<choice>, one of {options}"
    ambiguous = re.match(r"Ambiguous value for argument '([^=']+)=(.*?)'\n", message, re.DOTALL)
    if ambiguous:
        key, value = ambiguous.groups()
        return (
            f"{key}: {value!r} holds a comma; "
            f"give \"{key}='{value}'\" for text, {key}=[{value}] for a list, or --multirun to sweep"
        )
    if error.__cause__ is not None and str(error.__cause__):
        message = f"{message}: {error.__cause__}"
    return _one_line(message)


def _instantiation(error: InstantiationException, root: BaseException) -> str | None:
    """A refused argument or an unknown name is the config's fault; anything else is a bug."""
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
