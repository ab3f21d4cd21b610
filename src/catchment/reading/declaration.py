"""What catchment.yaml may say: its keys, types and defaults.

The models below and those of `kinds`, one file for each type of source, are the only place where these stand: they
validate, and the JSON Schema and the reference page are made from them.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import Field, SerializeAsAny, create_model, field_validator, model_validator

from catchment.reading.durations import pace
from catchment.reading.kinds import KINDS
from catchment.reading.kinds.keys import Keys, SourceKeys, length
from catchment.settings import has_references

FILE = "catchment.yaml"
MEMORY = r"^\s*[0-9]+(\.[0-9]+)?\s*([KMGT]i?B)\s*$"


class AsOf(Keys):
    """A look-up in a table of mode history: the row that was valid at a time of the first frame."""

    as_of: Annotated[str, Field(min_length=1, description="The timestamp column of the first frame.")]


class Publish(Keys):
    """A silver table's rows as messages of a topic, each once, for applications."""

    topic: Annotated[str, Field(min_length=1, description="The topic; made where it is not there.")]
    key: Annotated[
        str | list[str] | None,
        Field(
            description="The column whose value is a message's key, or a list of them; by default the contract's key,"
            " else what tells a row apart from all others."
        ),
    ] = None
    format: Annotated[
        Literal["json", "avro"],
        Field(description="What a message is: a JSON object, or Avro by a schema in the target's `registry`."),
    ] = "json"
    deletes: Annotated[
        Literal["row", "tombstone"],
        Field(
            description="What tells that a key went: its last row, with a header that says so; or a message without a"
            " value, by which a compacted topic forgets the key."
        ),
    ] = "row"
    rejects: Annotated[
        str | None, Field(min_length=1, description="A topic for the rows that are rejected, each with its reasons.")
    ] = None

    @property
    def keys(self) -> tuple[str, ...]:
        """`key` as a list; empty where nothing is said."""
        return () if self.key is None else (self.key,) if isinstance(self.key, str) else tuple(self.key)


class SilverTable(Keys):
    """A typed, checked table: what its contract says, made from one stream or several."""

    planned: ClassVar[frozenset[str]] = frozenset({"keys", "window"})

    from_: Annotated[
        str | list[str],
        Field(alias="from", description="Where its rows come from: `source.stream`, or a list of streams."),
    ]
    contract: Annotated[
        str | None, Field(description="Its ODCS document; by default `contracts/<table>.odcs.yaml`.")
    ] = None
    mode: Annotated[
        Literal["append", "merge", "history", "replace", "delete_insert", "window"],
        Field(
            description="`append` keeps every good row, `merge` the latest of each key, `history` every version of a"
            " key with its interval, `replace` the newest whole arrival, `delete_insert` the newest arrival of each"
            " slice, `window` the first row of a key within `lateness`."
        ),
    ] = "append"
    latest_by: Annotated[
        str | None,
        Field(
            description="The column that tells which row of a key is the latest (`merge`), or since when a version is"
            " valid (`history`); then landing order."
        ),
    ] = None
    deleted_when: Annotated[
        str | None,
        Field(description="`merge`, `history`: an SQL condition on a row that says its key was deleted."),
    ] = None
    slice: Annotated[
        list[str] | None,
        Field(min_length=1, description="`delete_insert`: the columns of which an arrival brings all rows anew."),
    ] = None
    event_time: Annotated[str | None, Field(description="`window`: the timestamp column that says when.")] = None
    lateness: Annotated[
        str | None,
        Field(
            description="`window`: rows of a key at most so far apart are one, such as `2 days`. `merge`: how long a"
            " deleted key is remembered; by default for ever."
        ),
    ] = None
    wait: Annotated[str, Field(description="How long a row waits for the row it refers to before it is rejected.")] = (
        "24 hours"
    )
    refine: Annotated[
        str | None, Field(description="A Python file with `refine(frame, …)`, for what a contract cannot say.")
    ] = None
    with_: Annotated[
        dict[str, Literal["current"] | AsOf],
        Field(
            alias="with",
            description="Silver tables that the refine function looks things up in: `current`, or `{as_of: column}` of"
            " a table of mode history.",
        ),
    ] = {}

    publish: Annotated[
        str | Publish | None,
        Field(
            description="A topic into which its rows are published, each once: `publish: user_events.refined`, or"
            " `{topic: user_events.refined, key: user_id}`."
        ),
    ] = None

    @property
    def published(self) -> Publish | None:
        """`publish` as a mapping."""
        return Publish(topic=self.publish) if isinstance(self.publish, str) else self.publish

    @property
    def streams(self) -> tuple[str, ...]:
        """`from` as a list."""
        return (self.from_,) if isinstance(self.from_, str) else tuple(self.from_)


class GoldLayers(Keys):
    """Which folders of the dbt project are which layer; a model's layer says what it may do."""

    planned: ClassVar[frozenset[str]] = frozenset({"raw"})

    stg: Annotated[
        str | list[str],
        Field(description="Folders below a model path whose models read sources, rename, cast and handle nulls."),
    ] = "stg"
    std: Annotated[str | list[str], Field(description="Folders whose models join and derive.")] = "std"
    cur: Annotated[str | list[str], Field(description="Folders whose models aggregate, and are what others read.")] = (
        "cur"
    )

    @property
    def folders(self) -> dict[Literal["stg", "std", "cur"], tuple[str, ...]]:
        """Each as a list."""
        named = {"stg": self.stg, "std": self.std, "cur": self.cur}
        lists = {layer: (paths,) if isinstance(paths, str) else tuple(paths) for layer, paths in named.items()}
        return {"stg": lists["stg"], "std": lists["std"], "cur": lists["cur"]}


class Gold(Keys):
    """A dbt project over silver."""

    dbt: Annotated[str, Field(min_length=1, description="The folder with `dbt_project.yml`.")]
    command: Annotated[
        str | None,
        Field(description="The dbt executable; by default the one beside the running Python, else the one on PATH."),
    ] = None
    sources: Annotated[
        dict[str, str],
        Field(
            description="Silver tables by the dbt source that means them (`raw.orders: silver.orders`), where the name"
            " alone does not say it."
        ),
    ] = {}
    layers: Annotated[
        GoldLayers | None,
        Field(description="Which folders of the dbt project are which layer; by default `stg`, `std` and `cur`."),
    ] = None
    lint: Annotated[
        Literal["error", "warn"],
        Field(description="What a model that breaks a rule of its layer does: `error` stops, `warn` tells."),
    ] = "error"


class Metric(Keys):
    """Figures of now over the rows of a silver table, kept in the target's live store."""

    from_: Annotated[str, Field(alias="from", min_length=1, description="The silver table whose rows are counted.")]
    time: Annotated[
        str | None,
        Field(
            description="The timestamp column that says when a row happened; by default the table's `event_time` or"
            " `latest_by`, where that is a timestamp."
        ),
    ] = None
    where: Annotated[str | None, Field(min_length=1, description="An SQL condition on the rows that count.")] = None
    every: Annotated[
        str | None,
        Field(
            description="The length of a window of event time, in UTC, such as `1 minute`, `1 hour` or `1 day`; without"
            " it there is one figure over all that is kept."
        ),
    ] = None
    by: Annotated[list[str], Field(description="Columns by which figures are told apart.")] = []
    measures: Annotated[
        dict[str, str],
        Field(
            min_length=1,
            description="Figures by name: `count(*)`, `count(x)`, `count(distinct x)`, `sum(x)`, `avg(x)`, `min(x)`,"
            " `max(x)`, `quantile(x, 0.95)`, `top(x, 5)` (the most frequent values) or `share(a, b)` (of the rows that"
            " meet condition `b` those that meet `a` as well).",
        ),
    ]
    keep: Annotated[
        str | None, Field(description="How long rows are kept, from their event time; by default for ever.")
    ] = None


class ClickHouseStore(Keys):
    """ClickHouse, a server or ClickHouse Cloud, as the place of live figures."""

    type: Literal["clickhouse"]
    url: Annotated[
        str,
        Field(
            min_length=1,
            description="Its HTTP interface, and a database that nothing else is in (`live` where none is named):"
            " `https://user:password@host:8443/live`, best as `${env:CLICKHOUSE_URL}`.",
        ),
    ]
    through: Annotated[
        Literal["insert", "topic"],
        Field(
            description="How rows come there: `insert`, by Catchment; or `topic`, after a first feeding ClickHouse"
            " reads the refined topics of the tables itself."
        ),
    ] = "insert"
    broker: Annotated[
        str | None,
        Field(
            min_length=1,
            description="`topic`: where ClickHouse reaches the broker, such as `broker-1:9092`; by default where the"
            " target does.",
        ),
    ] = None

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        if not has_references(url) and not url.startswith(("http://", "https://")):
            message = "the address of ClickHouse begins with neither http:// nor https://"
            raise ValueError(message, "write url: http://host:8123/live")
        return url


# Settings of librdkafka by which messages would be lost, doubled, or seen before they are committed.
_DECIDED = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "enable.auto.commit",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "isolation.level",
        "request.required.acks",
        "transactional.id",
    }
)


class KafkaBroker(Keys):
    """Apache Kafka, or what speaks its protocol."""

    addresses: ClassVar[frozenset[str]] = frozenset({"servers"})

    type: Literal["kafka"]
    servers: Annotated[str, Field(min_length=1, description="Where it is first asked: `broker-1:9092,broker-2:9092`.")]
    settings: Annotated[
        dict[str, str],
        Field(
            description="Settings of librdkafka by their own names, such as `security.protocol: SASL_SSL`,"
            " `sasl.mechanisms: SCRAM-SHA-512`, `sasl.username` and `sasl.password: ${env:KAFKA_PASSWORD}`. With"
            " `sasl.mechanisms: AWS_MSK_IAM` tokens for Amazon MSK are signed with the credentials that AWS finds."
        ),
    ] = {}

    @field_validator("settings")
    @classmethod
    def _ours_are_ours(cls, settings: dict[str, str]) -> dict[str, str]:
        for name in settings:
            if name in ("bootstrap.servers", "metadata.broker.list"):
                message = f"`{name}` is said by `servers`"
                raise ValueError(message, "write servers: broker-1:9092,broker-2:9092")
            if name in _DECIDED:
                message = f"`{name}` cannot be set: that nothing is lost or doubled hangs on it"
                raise ValueError(message, "remove it")
        return settings


class Registry(Keys):
    """A schema registry that speaks Confluent's interface."""

    url: Annotated[str, Field(min_length=1, description="Its address: `https://registry:8081`.")]
    username: Annotated[str | None, Field(description="Whom it lets in, by name and password.")] = None
    password: Annotated[str | None, Field(description="`${env:REGISTRY_PASSWORD}`.")] = None
    token: Annotated[str | None, Field(description="Whom it lets in by a token instead: `${env:REGISTRY_TOKEN}`.")] = (
        None
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> Registry:
        if (self.username is None) != (self.password is None):
            message = "a username needs a password, and a password a username"
            raise ValueError(message, "write both, or neither")
        if self.username is not None and self.token is not None:
            message = "a username or a token, not both"
            raise ValueError(message, "remove one of them")
        return self


class Connect(Keys):
    """Kafka Connect, a worker or a cluster of them."""

    url: Annotated[str, Field(min_length=1, description="Its REST interface: `http://connect:8083`.")]
    username: Annotated[str | None, Field(description="Whom it lets in, by name and password.")] = None
    password: Annotated[str | None, Field(description="`${env:CONNECT_PASSWORD}`.")] = None
    secrets: Annotated[
        Literal["here", "worker"],
        Field(
            description="Who looks up `${env:NAME}` in a connector's keys: `here`, `catchment connect apply`, and"
            " Connect then keeps the value; `worker`, each worker in its own environment (it needs"
            " `config.providers=env`), so that nobody else has it."
        ),
    ] = "here"

    @model_validator(mode="after")
    def _both(self) -> Connect:
        if (self.username is None) != (self.password is None):
            message = "a username needs a password, and a password a username"
            raise ValueError(message, "write both, or neither")
        if not has_references(self.url) and not self.url.startswith(("http://", "https://")):
            message = "the address of Connect begins with neither http:// nor https://"
            raise ValueError(message, "write url: http://host:8083")
        return self


class Topic(Keys):
    """A topic that is made where it is not there."""

    partitions: Annotated[
        int, Field(ge=1, description="Into so many parts it is split; more can be had later, fewer cannot.")
    ] = 3
    retention: Annotated[
        str | None, Field(description="How long messages are kept, such as `7 days`; by default as the broker says.")
    ] = None
    compact: Annotated[
        bool | None,
        Field(description="Whether of each key at least the newest message is kept, and older ones may go. Kafka."),
    ] = None
    replication: Annotated[
        int | None, Field(ge=1, description="So many servers keep each message; by default as the cluster says. Kafka.")
    ] = None
    min_insync: Annotated[
        int | None,
        Field(ge=1, description="So many servers have a message before it counts as written (min.insync.replicas)."),
    ] = None

    @field_validator("retention")
    @classmethod
    def _retention(cls, text: str | None) -> str | None:
        return None if text is None else length(text, "retention: 7 days")

    @model_validator(mode="after")
    def _servers(self) -> Topic:
        if self.replication is not None and self.min_insync is not None and self.min_insync > self.replication:
            message = f"{self.min_insync} servers cannot have what {self.replication} keep"
            raise ValueError(message, f"write min_insync: {self.replication}, or less")
        return self


class Target(Keys):
    """A place to run."""

    planned: ClassVar[frozenset[str]] = frozenset({"engine", "warehouse", "format", "catalog"})

    default: Annotated[bool, Field(description="Used where no target is named; at most one.")] = False
    lake: Annotated[str, Field(min_length=1, description="Where tables rest: a folder.")] = "lake"
    broker: Annotated[
        Literal["embedded"] | KafkaBroker,
        Field(
            description="Who keeps topics: `embedded`, in files on this machine, no server; or"
            " `{type: kafka, servers: broker-1:9092}`."
        ),
    ] = "embedded"
    topics: Annotated[
        str, Field(min_length=1, description="`embedded`: the folder where topics are kept, on a disk of this machine.")
    ] = "topics"
    registry: Annotated[
        Registry | None,
        Field(description="The schema registry of its messages, for streams of format `avro` and `protobuf`."),
    ] = None
    connect: Annotated[
        Connect | None, Field(description="Kafka Connect, which runs the connectors of sources: `catchment connect`.")
    ] = None
    memory: Annotated[
        str, Field(pattern=rf"{MEMORY}|\$\{{", description="How much the engine may take, such as `2GB` or `512MiB`.")
    ] = "2GB"
    threads: Annotated[int | None, Field(ge=1, description="By default as many as the machine has.")] = None
    spill: Annotated[
        str | None, Field(min_length=1, description="A folder for what does not fit; by default beside the lake.")
    ] = None
    live: Annotated[
        Literal["duckdb"] | ClickHouseStore | None,
        Field(
            description="Where live figures are kept: `duckdb`, in a file of this machine, the default; or"
            ' `{type: clickhouse, url: "${env:CLICKHOUSE_URL}"}`.'
        ),
    ] = None
    sources: Annotated[
        dict[str, SerializeAsAny[SourceKeys]],
        Field(description="Sources that are other ones here, by their names in `sources`, each declared in full."),
    ] = {}

    @field_validator("live", mode="before")
    @classmethod
    def _live(cls, found: Any) -> Any:
        if found == "clickhouse":
            message = "`clickhouse` does not tell where it is"
            raise ValueError(message, 'write live: {type: clickhouse, url: "${env:CLICKHOUSE_URL}"}')
        return found


class Stream(Keys):
    """The paces of `catchment stream`: more often is sooner there, and makes more and smaller files."""

    commit_every: Annotated[
        str,
        Field(description="How often at most a bronze table, or a silver table of mode `append`, gets a commit."),
    ] = "1s"
    merge_every: Annotated[
        str,
        Field(description="How often at most a silver table of any other mode does: its touched files are rewritten."),
    ] = "60s"
    flush: Annotated[
        str,
        Field(
            description="How often at most what is published, or what live figures are made of, is passed on, and the"
            " tables of mode `append` that it comes from get a commit; where `commit_every` is less, that counts for"
            " the commit."
        ),
    ] = "250ms"
    compact_every: Annotated[str, Field(description="How often small files are joined.")] = "5 minutes"
    compact_files: Annotated[
        int, Field(ge=1, description="So many commits of a table are compacted sooner than `compact_every`.")
    ] = 256
    upkeep_every: Annotated[
        str, Field(description="How often what is older than `retention` is taken away, as `catchment maintain` does.")
    ] = "5 minutes"
    retention: Annotated[
        str,
        Field(
            description="How long old versions of tables can be read and restored while a stream goes on, a minute at"
            " least. Each commit is an entry in a log and a file of state until then. What somebody who is at work on"
            " this machine reads stays, however long that takes."
        ),
    ] = "15 minutes"

    @field_validator("compact_every", "upkeep_every", "retention")
    @classmethod
    def _lengths(cls, text: str) -> str:
        return length(text, "30s")

    @field_validator("commit_every", "merge_every", "flush")
    @classmethod
    def _paces(cls, text: str) -> str:
        return text if pace(text) else length(text, "30s or 250ms")


class ProjectFile(Keys):
    """Everything that catchment.yaml may say."""

    planned: ClassVar[frozenset[str]] = frozenset({"schedule", "alerts", "brokers"})

    name: Annotated[str, Field(description="Lower case, digits and underscores; gold's file is named after it.")]
    sources: Annotated[dict[str, SerializeAsAny[SourceKeys]], Field(description="Where rows come from, by name.")] = {}
    silver: Annotated[dict[str, SilverTable], Field(description="Silver tables, by name.")] = {}
    gold: Annotated[Gold | None, Field(description="Gold, where there is any.")] = None
    live: Annotated[dict[str, Metric], Field(description="Live figures, by name.")] = {}
    topics: Annotated[
        dict[str, Topic], Field(description="Topics of the target's broker, by name; made where they are not there.")
    ] = {}
    stream: Annotated[Stream | None, Field(description="How fast `catchment stream` goes.")] = None
    targets: Annotated[
        dict[str, Target], Field(min_length=1, description="Places to run, by name; by default one, `local`.")
    ] = {"local": Target(default=True)}


def with_every_source() -> type[ProjectFile]:
    """The same with the keys of every type of source in it, for the JSON Schema; `shape` looks at each by its type."""
    source: Any = Annotated[Union[tuple(KINDS.values())], Field(discriminator="type")]  # noqa: UP007
    here: Any = (dict[str, source], Target.model_fields["sources"])
    target = create_model("Target", __base__=Target, __doc__=Target.__doc__, sources=here)
    sources: Any = (dict[str, source], ProjectFile.model_fields["sources"])
    targets: Any = (dict[str, target], ProjectFile.model_fields["targets"])
    whole: type[ProjectFile] = create_model(
        "ProjectFile", __base__=ProjectFile, __doc__=ProjectFile.__doc__, sources=sources, targets=targets
    )
    return whole
