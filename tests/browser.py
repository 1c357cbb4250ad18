"""A real browser for pages, where there is one."""

import shutil
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def chromium():
    """The path of a Chromium; skips the test, and says so, where there is none."""
    pytest.importorskip("playwright", reason="playwright is not installed: pages are not opened in a browser")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser ({', '.join(NAMES)}): pages are not opened in one")
    return found


@contextmanager
def started():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # As root, as in a container, Chromium refuses its own sandbox; the pages are ours.
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Page:
    """An opened page; what it asks the network for, and what goes wrong in it, is kept."""

    def __init__(self, browser, path, **context):
        self.page = browser.new_context(**context).new_page()
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-ready]", timeout=30_000)

    def __getattr__(self, name):
        return getattr(self.page, name)

    @property
    def fetched(self):
        """Addresses beside the file's own and what is in it."""
        return [url for url in self.requests[1:] if not url.startswith(("data:", "blob:"))]
