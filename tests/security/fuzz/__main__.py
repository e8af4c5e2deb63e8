"""``python -m tests.security.fuzz SECONDS [READER [NUMBER]]``: damaged files for every reader.

Each file is a valid one, damaged by a generator of random numbers that its reader's name and its
number seed: the same in every run. Its reader must give a value or refuse it in one sentence. What
is listed is a mistake of ours: another exception, more than 5 s or 2 GiB, a look at the network, an
unpickled object. READER is the name of one, or `data` or `models` for some; with a number, its one
file is read here, with the traceback.
"""

import sys
import tempfile
from pathlib import Path

from tests.security.fuzz.models import MODELS
from tests.security.fuzz.runner import Finding, fuzz
from tests.security.fuzz.targets import DATA


def main(seconds: str, reader: str = "", number: str = "") -> int:
    """Fuzzes; returns the process's status, 1 where something was found."""
    groups = {"": (*DATA, *MODELS), "data": DATA, "models": MODELS}
    targets = groups.get(reader) or [one for one in groups[""] if one.name == reader]
    with tempfile.TemporaryDirectory() as folder:
        if number:
            (target,) = targets
            target.prepare(Path(folder))
            case = target.case(target.seeds(Path(folder)), int(number))
            print(f"{case[:2000]!r}", file=sys.stderr)
            (Path(folder) / target.file).write_bytes(case)
            print(target.read(Path(folder)))
            return 0
        kinds: dict[str, list[Finding]] = {}

        def found(one: Finding) -> None:
            kind = f"{one.target} {one.what.partition(': ')[0]}"
            if kind not in kinds:
                print(one, flush=True)
            kinds.setdefault(kind, []).append(one)

        counts = fuzz(targets, float(seconds), Path(folder), found)
    for name, count in counts.items():
        bad = sum(len(each) for kind in kinds.values() for each in [kind] if kind[0].target == name)
        print(f"{name}: {count} files, {bad} read badly")
    print(f"{sum(counts.values())} files in all, {len(kinds)} kinds of mistakes")
    return int(bool(kinds))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
