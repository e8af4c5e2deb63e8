"""What a run of edits is asked for: each picture is read when its batch comes, and once before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from i2i_dds.distributed import gather, get_rank_and_world_size
from i2i_dds.errors import UserError
from i2i_dds.pipelines.prepared import PictureItem


@dataclass(frozen=True)
class EditRequest:
    """One edit that is asked for.

    Attributes:
        name: Unique in a run.
        read: Reads its picture, and makes it ready to be edited.
        file: The file that it comes from; None of a scene.
        shape: Of its picture, (3, H, W); pictures of one shape make a batch.
        content: Tells requests apart by what they ask, whatever their names.
    """

    name: str
    read: Callable[[], PictureItem]
    file: str | None = None
    shape: tuple[int, ...] = ()
    content: str = ""


@dataclass(frozen=True)
class EditInputs:
    """All edits of a run.

    Attributes:
        requests: Those whose pictures can be read.
        unreadable: File -> why it cannot be read.
    """

    requests: tuple[EditRequest, ...]
    unreadable: dict[str, str] = field(default_factory=dict)


class Unreadable(UserError):
    """A picture file that is broken, among others that may not be."""


@dataclass(frozen=True)
class _Looked:
    """What a look at a request found: its shape and content, or why it cannot be."""

    shape: tuple[int, ...] = ()
    content: str = ""
    unreadable: str | None = None
    refusal: UserError | None = None


def look_through(asked: Sequence[EditRequest]) -> EditInputs:
    """Reads every picture once, each process its share: what is wrong is known before any edit.

    Args:
        asked: The same on all processes; shape and content are found out.

    Raises:
        UserError: A request that cannot be met, or no picture can be read; on all processes.
    """
    rank, world_size = get_rank_and_world_size()
    looks: list[_Looked] = [_Looked()] * len(asked)
    for first, part in enumerate(gather([_look(one) for one in asked[rank::world_size]])):
        looks[first::world_size] = part
    for look in looks:
        if look.refusal is not None:
            raise look.refusal
    unreadable = {
        str(one.file): look.unreadable
        for one, look in zip(asked, looks, strict=True)
        if look.unreadable is not None
    }
    requests = tuple(
        EditRequest(one.name, one.read, one.file, look.shape, look.content)
        for one, look in zip(asked, looks, strict=True)
        if look.unreadable is None
    )
    if not requests:
        reasons = list(unreadable.values())
        more = f" (and none of {len(reasons) - 1} others can)" if len(reasons) > 1 else ""
        raise UserError(reasons[0] + more)
    return EditInputs(requests, unreadable)


def _look(request: EditRequest) -> _Looked:
    try:
        prepared = request.read()
    except Unreadable as error:
        return _Looked(unreadable=str(error))
    except UserError as error:
        return _Looked(refusal=error)
    return _Looked(tuple(prepared.item.x.shape), prepared.content())
