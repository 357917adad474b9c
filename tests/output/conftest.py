"""One browser for all tests of pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.output.chromium import FOUND, Page, browser


@pytest.fixture(scope="session")
def only_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if FOUND is None:
        pytest.skip("Chromium is not installed")
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def page(only_page: Page) -> Iterator[Page]:
    """It must not complain in the end, and keeps nothing for the next test, even if one fails."""
    yield only_page
    only_page.ask("localStorage.clear()")
    assert only_page.complaints() == []
