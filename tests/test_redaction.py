"""What is secret, what only looks like it, and where it is taken out."""

import logging

import pytest

from i2i_dds.redaction import (
    RedactingFormatter,
    is_secret,
    redact,
    redact_line,
    redact_override,
    redact_text,
    redact_yaml,
)


@pytest.mark.parametrize(
    "key",
    ["api_key", "WANDB_API_KEY", "accessKey", "http.auth", "Authorization", "hf_token", "tokens",
     "client_secret", "password", "db_passwd", "credentials", "keys"],
)  # fmt: skip
def test_names_of_secrets(key: str) -> None:
    assert is_secret(key)
    assert redact({"logger": {key: "s3cret"}}) == {"logger": {key: "<redacted>"}}
    assert redact({key: {"a": ["s3cret", 12345]}}) == {key: {"a": ["<redacted>"] * 2}}
    assert redact_override(f"+logger.wandb.{key}=s3cret") == f"+logger.wandb.{key}=<redacted>"
    assert redact_override(f"a={{{key}: s3cret, n: 1}}") == f"a={{{key}: <redacted>, n: 1}}"
    assert redact_yaml(f"a:\n  {key}: s3cret\n") == f"a:\n  {key}: <redacted>\n"
    assert redact_line(f"+a={{n:1,{key}:s3cret}}") == f"+a={{n:1,{key}:<redacted>}}"
    assert redact_line(f"error: x.{key}=s3cret is odd") == f"error: x.{key}=<redacted> is odd"


@pytest.mark.parametrize("key", ["author", "monkey", "donkey", "turkey", "keyboard", "path"])
def test_names_that_are_none(key: str) -> None:
    assert redact({key: "a lion"}) == {key: "a lion"}


def test_what_holds_nothing_is_shown() -> None:
    assert redact({"api_key": None, "token": True, "secret": ""}) == {
        **{"api_key": None, "token": True, "secret": ""}
    }
    assert redact_yaml("api_key: null\n") == "api_key: null\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:p@ss@host/a.tar", "https://<redacted>@host/a.tar"),
        ("see git+https://ghp_123@host/a now", "see git+https://<redacted>@host/a now"),
        ("https://host/a?x=1&api_key=k&y=2", "https://host/a?x=1&api_key=<redacted>&y=2"),
        ("'https:/me:pass@host' is no folder", "'https:/<redacted>@host' is no folder"),
        (r"https\://me\:pass@host/a", r"https\://<redacted>@host/a"),
        ("C:/me@home/a", "C:/me@home/a"),
        ("https://host/@me", "https://host/@me"),
        ("a key=value pair, me@host", "a key=value pair, me@host"),
    ],
)
def test_credentials_in_urls(text: str, shown: str) -> None:
    assert redact_text(text) == redact({"root": text})["root"] == shown
    assert redact_override(f"root={text}") == f"root={shown}"
    assert redact_line(text) == shown


def test_values_of_secret_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "0123456789abcdef")
    assert redact({"path": "to/0123456789abcdef"}) == {"path": "to/<redacted>"}


def test_log_lines() -> None:
    record = logging.LogRecord("a", logging.INFO, "", 0, "from %s", ("s3://k:v@bucket",), None)
    assert RedactingFormatter().format(record) == "from s3://<redacted>@bucket"
