"""A visitor of the page without a browser: follows its forms as a browser does, with all their fields."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx

from scout.local import LocalScout


@dataclass
class Form:
    """A form of the page.

    Attributes:
        action: The address to which it is sent.
        fields: The values by name, as they are filled in.
        labelled: The ids for which the page has a label.
        ids: The ids of the fields that people fill in, by name.
    """

    action: str
    fields: dict[str, str] = field(default_factory=dict[str, str])
    ids: dict[str, str] = field(default_factory=dict[str, str])


class _Reader(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: dict[str, Form] = {}
        self.labels: set[str] = set()
        self.form: Form | None = None
        self.area: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.form = self.forms[facts["action"]] = Form(facts["action"])
        elif tag == "label":
            self.labels.add(facts.get("for", ""))
        elif self.form is not None and tag in ("input", "textarea"):
            self.form.fields[facts["name"]] = facts.get("value", "")
            if facts.get("type") != "hidden":
                self.form.ids[facts["name"]] = facts["id"]
            self.area = facts["name"] if tag == "textarea" else None

    def handle_data(self, data: str) -> None:
        if self.form is not None and self.area is not None:
            self.form.fields[self.area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            assert self.form is not None
            assert self.area is not None
            # The first end of a line belongs to the markup.
            self.form.fields[self.area] = self.form.fields[self.area].removeprefix("\n")
            self.area = None
        elif tag == "form":
            self.form = None


class Visitor:
    """A visitor of the page of a server."""

    def __init__(self, local: LocalScout, **options: Any) -> None:
        self.http = httpx.Client(base_url=local.url, timeout=20, **options)

    def page(self, address: str) -> str:
        """Return a page as HTML."""
        response = self.http.get(address)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        return response.text

    def form(self, address: str, action: str) -> Form:
        """Return a form of a page, every field of which has a label."""
        reader = _Reader(self.page(address))
        form = reader.forms[action]
        assert set(form.ids.values()) <= reader.labels
        return form

    def send(self, form: Form, **changes: str) -> httpx.Response:
        """Send a form with changes, as a browser does: each end of a line becomes two characters."""
        fields = {name: value.replace("\n", "\r\n") for name, value in {**form.fields, **changes}.items()}
        return self.http.post(form.action, data=fields)


def typed_in(response: httpx.Response, action: str) -> dict[str, str]:
    """Return the fields of a form in an answer."""
    return _Reader(response.text).forms[action].fields
