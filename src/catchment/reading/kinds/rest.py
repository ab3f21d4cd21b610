"""REST: endpoints that answer with JSON."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from catchment.reading.kinds.http import HttpCursor, HttpSource, HttpStream, Json, records_selector, selector
from catchment.reading.kinds.keys import Keys

Scalar = str | int | float | bool
_UNTIL = "`empty`, when a page holds no record (it costs one request more), or where the answer tells their number"


class PagePaging(Keys):
    """Pages have numbers."""

    type: Literal["page"]
    param: Annotated[str, Field(min_length=1, description="The parameter with the page's number.")] = "page"
    start: Annotated[int, Field(ge=0, description="The first page's number.")] = 1
    size_param: Annotated[str | None, Field(min_length=1, description="The parameter with the page's size.")] = None
    size: Annotated[int | None, Field(ge=1, description="How many records a page is to hold.")] = None
    until: Annotated[str, Field(description=f"When it ends: {_UNTIL}, such as `$.total`.")] = "empty"
    pages: Annotated[
        str | None, Field(description="Or where the answer tells how many pages there are, such as `$.meta.pages`.")
    ] = None

    @field_validator("until", "pages")
    @classmethod
    def _until(cls, until: str | None) -> str | None:
        return until if until is None or until == "empty" else selector(until)

    @model_validator(mode="after")
    def _size(self) -> PagePaging:
        _both(self.size_param, self.size)
        return self


class OffsetPaging(Keys):
    """So many records are left out."""

    type: Literal["offset"]
    param: Annotated[str, Field(min_length=1, description="The parameter with how many to leave out.")] = "offset"
    size_param: Annotated[str, Field(min_length=1, description="The parameter with how many to give.")] = "limit"
    size: Annotated[int, Field(ge=1, description="How many records an answer is to hold.")] = 100
    until: Annotated[str, Field(description=f"When it ends: {_UNTIL}, such as `$.total`.")] = "empty"

    @field_validator("until")
    @classmethod
    def _until(cls, until: str) -> str:
        return until if until == "empty" else selector(until)


class CursorPaging(Keys):
    """An answer names what the next request has to say."""

    type: Literal["cursor"]
    param: Annotated[str, Field(min_length=1, description="The parameter that says where to go on.")]
    next: Annotated[
        str,
        Field(description="Where the answer names it, such as `$.meta.next` or `$.data[-1].id`; absent at the end."),
    ]
    more: Annotated[
        str | None, Field(description="Where the answer says whether there is more, such as `$.has_more`.")
    ] = None
    size_param: Annotated[str | None, Field(min_length=1, description="The parameter with the page's size.")] = None
    size: Annotated[int | None, Field(ge=1, description="How many records a page is to hold.")] = None

    @field_validator("next", "more")
    @classmethod
    def _paths(cls, path: str | None) -> str | None:
        return path if path is None else selector(path)

    @model_validator(mode="after")
    def _size(self) -> CursorPaging:
        _both(self.size_param, self.size)
        return self


class LinkPaging(Keys):
    """The header `Link` names the next page."""

    type: Literal["link"]
    rel: Annotated[str, Field(min_length=1, description="What the link to the next page is called.")] = "next"


class NextUrlPaging(Keys):
    """The answer holds the address of the next page."""

    type: Literal["next_url"]
    next: Annotated[str, Field(description="Where it stands, such as `$.next`; absent or null at the end.")]

    _ = field_validator("next")(selector)


class NoPaging(Keys):
    """One answer holds everything."""

    type: Literal["none"]


Paging = Annotated[
    PagePaging | OffsetPaging | CursorPaging | LinkPaging | NextUrlPaging | NoPaging, Field(discriminator="type")
]


class RestCursor(HttpCursor):
    """How an endpoint is asked for what is new."""

    param: Annotated[str, Field(min_length=1, description="The parameter that asks for records from there on.")]
    order: Annotated[
        Literal["ascending"] | None,
        Field(
            description="The answers are sorted by `field`, oldest first: each page is asked for by where the last one"
            " ended, so that records which move while pages are read are not lost. Sort them with `params`."
        ),
    ] = None


class Parent(Keys):
    """A request for each record of another stream."""

    stream: Annotated[str, Field(min_length=1, description="A stream of the same source.")]
    as_: Annotated[
        dict[str, str],
        Field(alias="as", min_length=1, description="What its records fill in: `{repo: $.full_name}` fills `{repo}`."),
    ]

    @field_validator("as_")
    @classmethod
    def _as(cls, named: dict[str, str]) -> dict[str, str]:
        for text in named.values():
            selector(text)
        return named


class RestStream(HttpStream):
    """An endpoint whose records land in one bronze table."""

    path: Annotated[str, Field(min_length=1, description="After the source's `url`, such as `/repos/{repo}/issues`.")]
    method: Annotated[Literal["GET", "POST"], Field(description="`POST` for searches: what is asked is the body.")] = (
        "GET"
    )
    params: Annotated[dict[str, Scalar | list[Scalar]], Field(description="Parameters of the query.")] = {}
    body: Annotated[
        Json | None,
        Field(description="What a `POST` sends, as JSON; parameters of paging and cursor are members of it."),
    ] = None
    records: Annotated[
        str, Field(description="Where the records stand in an answer, such as `$.items[*]`; by default it is a list.")
    ] = "$[*]"
    paging: Annotated[Paging | None, Field(description="How the next page is found; by default there is none.")] = None
    cursor: Annotated[
        RestCursor | None,
        Field(description="How to ask for what is new; without it everything is read each time."),
    ] = None
    parent: Annotated[Parent | None, Field(description="A stream of this source, each record a request.")] = None

    _ = field_validator("records")(records_selector)

    @model_validator(mode="after")
    def _body(self) -> RestStream:
        if self.body is not None and self.method == "GET":
            message = "a GET has no body"
            raise ValueError(message, "write method: POST, or params")
        return self

    @model_validator(mode="after")
    def _placeholders(self) -> RestStream:
        named = set(re.findall(r"(?<!\$)\{([^{}]+)\}", self.path))
        given = set() if self.parent is None else set(self.parent.as_)
        if named - given:
            missing = min(named - given)
            message = f"nothing fills {{{missing}}} of the path"
            raise ValueError(message, f"write parent: {{stream: …, as: {{{missing}: $.id}}}}")
        return self

    @property
    def is_whole(self) -> bool:
        return self.cursor is None

    @property
    def beside(self) -> tuple[str, ...]:
        return () if self.parent is None else (self.parent.stream,)


class RestSource(HttpSource):
    """An API that answers with JSON."""

    example: ClassVar[str] = """\
issues_api:
  type: rest
  url: https://api.example.com/v1
  auth: {type: bearer, token: "${env:API_TOKEN}"}
  streams:
    issues:
      path: /issues
      key: $.id
      paging: {type: link}
      cursor: {field: $.updated_at, param: since}
"""

    type: Literal["rest"]
    streams: Annotated[dict[str, RestStream], Field(min_length=1, description="What it gives, by name.")]

    @model_validator(mode="after")
    def _parents(self) -> RestSource:
        for name, stream in self.streams.items():
            above = [name]
            while (parent := self.streams[above[-1]].parent) is not None:
                if parent.stream not in self.streams:
                    message = f"stream {above[-1]} has a parent that is not there: `{parent.stream}`"
                    raise ValueError(message, f"there are {', '.join(self.streams)}")
                if parent.stream in above:
                    message = f"stream {name} is its own parent, over {', '.join(above)}"
                    raise ValueError(message, "let the first of them stand alone")
                above.append(parent.stream)
            del stream
        return self


def _both(param: str | None, size: int | None) -> None:
    if (param is None) != (size is None):
        message = "a page's size needs the parameter that asks for it, and its number"
        raise ValueError(message, "write size_param: per_page and size: 100, or neither")
