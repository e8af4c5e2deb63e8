"""The manual builds with every link and formula in its place, and asks no other machine."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="MkDocs is not installed"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manual, built; a warning is an error."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    repository = Path(__file__).resolve().parents[2]
    build(load_config(str(repository / "mkdocs.yml"), strict=True, site_dir=str(folder)))
    return folder


def pages(site: Path) -> dict[str, str]:
    found = sorted(site.rglob("index.html"))
    return {str(path.relative_to(site)): path.read_text(encoding="utf-8") for path in found}


def test_every_document_is_a_page(site: Path, repository: Path) -> None:
    docs = repository / "docs"
    names = {path.relative_to(docs).with_suffix("") for path in docs.rglob("*.md")}
    names -= {Path("package_index"), Path("index")}
    assert {str(name) for name in names} == {
        str(Path(page).parent) for page in pages(site) if page != "index.html"
    }


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    fetched = r'<(?:script|img|iframe|source)\b[^>]*\bsrc="([^"]+)"|<link\b[^>]*\bhref="([^"]+)"'
    for name, page in pages(site).items():
        found = [one or other for one, other in re.findall(fetched, page)]
        assert found and [link for link in found if "//" in link] == [], name
    own = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]+", own) == []


def test_formulas_are_drawn_by_the_browser_itself(site: Path, repository: Path) -> None:
    written = (repository / "docs/mathematics.md").read_text(encoding="utf-8")
    page = pages(site)["mathematics/index.html"]
    assert page.count('display="block"') == written.count("$$") // 2 > 10
    assert "arithmatex" not in page and "\\frac" not in page


def test_api_shows_names_and_examples_as_code(site: Path) -> None:
    page = pages(site)["api/index.html"]
    assert 'id="i2i_dds.EditPipeline.__call__"' in page
    assert not re.findall(r":(?:class|func|mod|meth|data):", page)
    assert "<blockquote>" not in page


def test_every_public_name_is_in_the_api(site: Path) -> None:
    import i2i_dds

    page = pages(site)["api/index.html"]
    missing = [name for name in i2i_dds.__all__ if f'id="i2i_dds.{name}"' not in page]
    assert missing == ["__version__"]


def test_drafts_stay_out(site: Path, repository: Path) -> None:
    config = (repository / "mkdocs.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(config)["theme"]["font"] is False
    assert not list(site.rglob("*.py")) and not list(site.rglob("package_index*"))
