"""A tap made with singer-python, as older taps are: a state for each page, nothing where a stream is not selected."""

import json
from pathlib import Path

import singer
from singer import metadata
from singer.catalog import Catalog, CatalogEntry
from singer.schema import Schema

FIELDS = {"id": {"type": "integer"}, "name": {"type": "string"}, "updated_at": {"type": "string"}}


def discovered():
    schema = {"type": "object", "properties": FIELDS}
    told = metadata.get_standard_metadata(schema, "users", ["id"], ["updated_at"], "INCREMENTAL")
    entry = CatalogEntry("users", "users", ["id"], schema=Schema.from_dict(schema), metadata=told)
    return Catalog([entry])


@singer.utils.handle_top_exception(singer.get_logger())
def main():
    asked = singer.utils.parse_args(["folder"])
    if asked.discover:
        discovered().dump()
        return
    state = asked.state
    for entry in (asked.catalog or discovered()).get_selected_streams(state):
        singer.write_schema(entry.tap_stream_id, entry.schema.to_dict(), entry.key_properties)
        since = singer.get_bookmark(state, entry.tap_stream_id, "updated_at", "")
        for page in sorted(Path(asked.config["folder"]).glob("*.json")):
            with singer.Transformer() as transform:
                for row in json.loads(page.read_text()):
                    if row["updated_at"] >= since:
                        told = metadata.to_map(entry.metadata)
                        singer.write_record(entry.tap_stream_id, transform.transform(row, entry.schema.to_dict(), told))
                        state = singer.write_bookmark(state, entry.tap_stream_id, "updated_at", row["updated_at"])
            singer.write_state(state)


main()
