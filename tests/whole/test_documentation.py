"""The documentation: every public name has its place and an example, and the how-to pages run as they are printed."""

import doctest
import importlib
import re
import warnings

import pytest

import fastmlp
from tests.support.data import ROOT

DOCS = ROOT / "docs"
REFERENCE = (DOCS / "reference" / "index.md").read_text(encoding="utf-8")
NAMES = re.findall(r"^   ((?:\w+\.)?\w+)$", REFERENCE, re.MULTILINE)
PAGES = [*sorted((DOCS / "how-to").glob("*.md")), DOCS / "index.md", DOCS / "reference" / "bits-version.md"]


def named(name):
    module, _, attribute = f"fastmlp.{name}".rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def test_the_reference_has_every_public_name():
    assert set(fastmlp.__all__) - set(NAMES) == {"BITS_VERSION"}
    assert "bits-version.md" in REFERENCE
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_example(name):
    """They are run with the doctests of the modules."""
    text = named(name).__doc__
    assert "Examples\n" in text
    assert ">>>" in text.split("Examples\n")[1]


@pytest.mark.parametrize("page", PAGES, ids=[path.stem for path in PAGES])
def test_pages_run_as_they_are_printed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    text = page.read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(text, {}, page.stem, str(page), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test)
    assert results.failed == 0


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=str)
def test_no_page_is_left_out(page):
    """Sphinx warns of a page that is in no list of contents; this says so before it is built."""
    if page.is_relative_to(DOCS / "_build") or page.is_relative_to(DOCS / "examples") or page.name == "index.md":
        pytest.skip("not such a page")
    listed = {
        (other.parent / entry).resolve()
        for other in DOCS.rglob("*.md")
        for block in re.findall(r"```\{toctree\}(.*?)```", other.read_text(encoding="utf-8"), re.DOTALL)
        for entry in block.split()
        if not entry.startswith(":")
    }
    assert page.resolve().with_suffix("") in listed
