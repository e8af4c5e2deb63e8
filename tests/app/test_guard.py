"""What the server gives to whoever asks."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import i2i_dds


def ask(url: str, data: dict | None = None, **headers: str) -> tuple[int, str, dict]:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(10**6).decode(errors="replace"), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace"), dict(error.headers)


PACKAGE = Path(i2i_dds.__file__)
SECRETS = ("/etc/passwd", str(PACKAGE), str(Path.home() / ".netrc"), "/proc/self/environ")
ROUTES = ("gradio_api/file=", "file=", "gradio_api/stream/", "static/", "assets/")
UP = ("../", "..%2f", "%2e%2e/", "..\\\\")
WAYS = (
    *SECRETS,
    *(12 * one + "etc/passwd" for one in UP),
    *("file:///etc/passwd", "/etc/./passwd", "pyproject.toml", ".git/config"),
)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("path", WAYS)
def test_no_file_of_the_machine_is_given(served_page, route: str, path: str) -> None:
    status, text, _ = ask(f"{served_page.address}{route}{path}")
    assert status in (400, 403, 404, 405), (status, text[:200])
    assert "root:" not in text and "import_module" not in text


def test_results_of_others_are_not_given_by_their_path(served_page) -> None:
    served_page.out.mkdir(exist_ok=True)
    file = served_page.out / "secret.png"
    file.write_bytes(b"of another")
    status, text, _ = ask(f"{served_page.address}gradio_api/file={file}")
    file.unlink()
    assert status == 403 and "of another" not in text


@pytest.mark.parametrize("path", SECRETS[:2])
def test_a_path_in_a_request_is_no_upload(served_page, path: str) -> None:
    config = json.loads(ask(f"{served_page.address}config")[1])
    for function in config["dependencies"]:
        picture = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}
        data = [picture] + [None] * (len(function["inputs"]) - 1)
        asked = {"data": data, "fn_index": function["id"], "session_hash": "x"}
        status, text, _ = ask(f"{served_page.address}gradio_api/run/predict", asked)
        assert status != 200 or "root:" not in text
    assert not any(
        str(path) in one.read_text(errors="replace") for one in served_page.out.rglob("*.json")
    )


def test_the_page_answers_to_no_name_but_its_own(served_page) -> None:
    assert ask(served_page.address, Host="evil.example")[0] == 400
    assert ask(served_page.address, Host="localhost")[0] == 200


def test_a_browser_is_told_to_fetch_nothing_from_elsewhere(served_page) -> None:
    _, text, headers = ask(served_page.address)
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http:" not in policy and "https:" not in policy
    assert "fonts.googleapis" not in text
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_uploads_are_bounded(served_page) -> None:
    limit = 20 * 2**20
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="../../x.png"\r\n\r\n'
    for size, wanted in ((10, 200), (limit + 2**20, 413)):
        body = head + b"0" * size + b"\r\n--b--\r\n"
        request = urllib.request.Request(
            f"{served_page.address}gradio_api/upload",
            body,
            {"Content-Type": "multipart/form-data; boundary=b"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, ""
        assert status == wanted
        if text:
            (path,) = json.loads(text)
            assert Path(path).is_relative_to(os.environ["GRADIO_TEMP_DIR"])
