"""A tap made with singer-sdk: users by their update, and the orders of each as their children."""

import json
from pathlib import Path

from singer_sdk import Stream, Tap
from singer_sdk import typing as th


class Users(Stream):
    name = "users"
    primary_keys = ("id",)
    replication_key = "updated_at"
    is_sorted = True
    schema = th.PropertiesList(
        th.Property("id", th.IntegerType), th.Property("name", th.StringType), th.Property("updated_at", th.StringType)
    ).to_dict()

    def get_records(self, context):
        since = self.get_starting_replication_key_value(context) or ""
        for page in sorted(Path(self.config["folder"]).glob("*.json")):
            for row in json.loads(page.read_text()):
                if row["updated_at"] >= since:
                    yield row

    def get_child_context(self, record, context):
        return {"user": record["id"]}


class Orders(Stream):
    name = "orders"
    primary_keys = ("user", "number")
    parent_stream_type = Users
    schema = th.PropertiesList(th.Property("user", th.IntegerType), th.Property("number", th.IntegerType)).to_dict()

    def get_records(self, context):
        for number in range(2):
            yield {"number": number, "user": context["user"]}


class SdkTap(Tap):
    name = "sdk-tap"
    config_jsonschema = th.PropertiesList(th.Property("folder", th.StringType, required=True)).to_dict()

    def discover_streams(self):
        return [Users(self), Orders(self)]


SdkTap.cli()
