"""GraphQL: queries that answer with JSON."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from catchment.reading.kinds.http import HttpCursor, HttpSource, HttpStream, records_selector, selector
from catchment.reading.kinds.keys import Keys


class RelayPaging(Keys):
    """A connection with `pageInfo`."""

    type: Literal["relay"]
    connection: Annotated[
        str, Field(description="Where the connection stands, such as `$.data.reviews`; ask for `pageInfo` in it.")
    ]
    variable: Annotated[str, Field(min_length=1, description="The variable that says where to go on.")] = "after"

    _ = field_validator("connection")(selector)


class VariablePaging(Keys):
    """An answer names what a variable of the next request has to say."""

    type: Literal["cursor"]
    variable: Annotated[str, Field(min_length=1, description="The variable that says where to go on.")]
    next: Annotated[str, Field(description="Where the answer names it; absent or null at the end.")]
    more: Annotated[str | None, Field(description="Where the answer says whether there is more.")] = None

    @field_validator("next", "more")
    @classmethod
    def _paths(cls, path: str | None) -> str | None:
        return path if path is None else selector(path)


class NoQueryPaging(Keys):
    """One answer holds everything."""

    type: Literal["none"]


QueryPaging = Annotated[RelayPaging | VariablePaging | NoQueryPaging, Field(discriminator="type")]


class GraphQLCursor(HttpCursor):
    """How a query is asked for what is new."""

    variable: Annotated[str, Field(min_length=1, description="The variable that asks for records from there on.")]


class GraphQLStream(HttpStream):
    """A query whose records land in one bronze table."""

    query: Annotated[str, Field(min_length=1, description="The query.")]
    variables: Annotated[dict[str, Any], Field(description="Its variables.")] = {}
    records: Annotated[
        str, Field(description="Where the records stand in an answer, such as `$.data.reviews.edges[*].node`.")
    ]
    paging: Annotated[
        QueryPaging | None, Field(description="How the next page is found; by default there is none.")
    ] = None
    cursor: Annotated[
        GraphQLCursor | None,
        Field(description="How to ask for what is new; without it everything is read each time."),
    ] = None

    _ = field_validator("records")(records_selector)

    @property
    def is_whole(self) -> bool:
        return self.cursor is None


class GraphQLSource(HttpSource):
    """An API that answers queries; `url` is its endpoint."""

    example: ClassVar[str] = """\
reviews_api:
  type: graphql
  url: https://api.example.com/graphql
  streams:
    reviews:
      query: "query ($after: String) { reviews(after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }"
      records: $.data.reviews.nodes[*]
      paging: {type: relay, connection: $.data.reviews}
"""

    type: Literal["graphql"]
    streams: Annotated[dict[str, GraphQLStream], Field(min_length=1, description="What it gives, by name.")]
