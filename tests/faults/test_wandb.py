"""W&B's process, or its server, ends in the middle of a training, which goes on."""

import csv
import gzip
import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

TRAIN = [
    *("task=cat2lion", "teacher.device=cpu", "hydra.run.dir=run", "logger=wandb"),
    *("data.n_train=8", "data.n_val=2", "data.n_test=2", "data.batch_size=2", "data.size=32"),
    *("student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
    *("student.unet.attention_head_dim=1", "final.n=2", "zero_shot.steps=1"),
    *("callbacks.pictures=null", "trainer.max_steps=60", "trainer.log_every_n_steps=1"),
]
PROJECT = {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}
RUN = {
    **{"id": "r", "displayName": "r", "description": "", "config": "{}", "summaryMetrics": "{}"},
    **{"sweepName": None, "historyLineCount": 0, "project": PROJECT},
}
VIEWER = {"id": "v", "entity": "e", "username": "e", "flags": "{}", "teams": {"edges": []}}


class Answers(BaseHTTPRequestHandler):
    """As much of W&B's server as a run needs to begin, and to send its numbers."""

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self._answer({"data": self._data(json.loads(body))} if self.path == "/graphql" else {})

    def _data(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "upsertBucket" in asked["query"]:
            bucket = {**RUN, "name": asked["variables"]["name"]}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        return {"viewer": VIEWER} if "viewer" in asked["query"] else {}

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.stop()


def services(number: int) -> list[int]:
    """W&B's own processes among those that one has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has just ended
            continue
        if int(rest.split()[1]) == number and name.startswith("wandb"):
            found.append(int(status.parent.name))
    return found


def logged(folder: Path) -> list[int]:
    """Steps whose numbers are on disk."""
    file = folder / "run" / "log" / "metrics.csv"
    if not file.is_file():
        return []
    with file.open() as lines:
        return [int(row["step"]) for row in csv.DictReader(lines) if row.get("step")]


def test_a_training_outlives_the_process_of_wandb(start, tmp_path) -> None:
    training = start("train", *TRAIN, env={"WANDB_MODE": "offline"})
    training.until(lambda: len(logged(tmp_path)) > 3 and services(training.number))
    for service in services(training.number):
        os.kill(service, signal.SIGKILL)
    assert training.status() == 0, training.err
    assert training.err.count("W&B: failed (") == 1 and "Traceback" not in training.err
    assert f"going on without it, what it got is in {tmp_path}/run/wandb" in training.err
    assert (tmp_path / "run" / "metrics.json").is_file() and max(logged(tmp_path)) >= 59


def test_a_training_outlives_the_server_of_wandb(start, tmp_path, server: Server) -> None:
    online = {"WANDB_MODE": "online", "WANDB_API_KEY": "a" * 40, "NO_PROXY": "*"}
    known = {"WANDB_BASE_URL": server.url, "WANDB_FINISH_TIMEOUT": "2"}
    training = start("train", *TRAIN, env={**online, **known})
    training.until(lambda: len(logged(tmp_path)) > 3)
    server.stop()
    assert training.status() == 0, training.err
    assert "Traceback" not in training.err and "panic" not in training.err
    assert "going on" not in training.err  # nothing failed that the training hands over
    (kept,) = (tmp_path / "run" / "wandb").glob("run-*/run-*.wandb")  # for wandb sync
    assert kept.stat().st_size > 1000
    assert (tmp_path / "run" / "metrics.json").is_file() and max(logged(tmp_path)) >= 59
