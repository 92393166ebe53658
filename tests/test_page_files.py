"""The files of the page of the local Scout: templates, style, script and icon, which are data of the package."""

import re

import httpx
import pytest

from scout.local import LocalScout


@pytest.mark.packaging  # data of the package
def test_the_page_is_there_with_all_that_it_loads() -> None:
    with LocalScout() as local:
        page = httpx.get(local.url)
        assert page.status_code == 200
        loaded = re.findall(r'(?:href|src)="(/page/static/[^"]+)"', page.text)
        assert sorted(loaded) == ["/page/static/icon.svg", "/page/static/page.css", "/page/static/page.js"]
        for path in loaded:
            assert httpx.get(local.url + path).raise_for_status().content
