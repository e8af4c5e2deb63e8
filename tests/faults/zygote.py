"""Imports what is heavy once, and then forks a process for each command asked for on stdin.

A line of JSON in, a line of JSON out. ``{"start": [module, *arguments], "folder": ...}`` answers
with the process's number, ``{"wait": number, "seconds": ...}`` with its status, negative for a
signal as in ``subprocess``, or null if it runs still.
"""

import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback

import diffusers  # noqa: F401
import pytorch_lightning  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401
from diffusers import (  # noqa: F401
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTokenizer  # noqa: F401


def run(asked: dict) -> int:
    module, *arguments = asked["start"]
    os.environ.update(asked.get("env", {}))
    os.chdir(asked["folder"])
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(
            os.open(f"{asked['folder']}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number
        )
    if "largest_file" in asked:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["largest_file"],) * 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [module, *arguments]
    try:
        importlib.import_module(module).main()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def wait(number: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(number, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.01)


for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        print(json.dumps(wait(asked["wait"], asked["seconds"])), flush=True)
        continue
    child = os.fork()
    if child == 0:
        code = run(asked)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(child, flush=True)
