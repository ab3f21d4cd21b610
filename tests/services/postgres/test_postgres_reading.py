"""What a real PostgreSQL does while it is read: late commits, restarts, cut lines, tables that change."""

from __future__ import annotations

import random
import signal
from collections import Counter
from typing import Any

import pytest
from tests.services.postgres.conftest import Database, connection, execute, ids
from tests.services.postgres.server import Postgres

from catchment.errors import CatchmentError, ConfigError, RetryableError, SchemaDrift
from catchment.records import Batch, Budget
from catchment.sources.sql import window as sql_window
from catchment.testing.proxy import FaultProxy
from catchment.testing.sources import rows_in

_BY = {"cursor": "updated_at", "lookback": "10 minutes"}


@pytest.fixture
def rows(database: Database) -> Database:
    database.run("CREATE TABLE rows (id int PRIMARY KEY, note text, updated_at timestamptz)")
    database.run("CREATE INDEX ON rows (updated_at)")
    return database


def _fill(database: Database, count: int) -> None:
    database.run(
        "INSERT INTO rows SELECT i, repeat('x', 200), timestamptz '2026-01-01' + i * interval '1 second'"
        f" FROM generate_series(1, {count}) i"
    )


def _insert(*values: tuple[int, str]) -> str:
    listed = ", ".join(f"({number}, 'n', '2026-01-01 {at}+00')" for number, at in values)
    return f"INSERT INTO rows VALUES {listed}"


def test_a_row_that_was_committed_late_is_found_within_the_lookback_and_none_is_doubled(rows: Database) -> None:
    with connection(rows.url) as late:
        execute(late, "BEGIN", _insert((1, "10:00:00")))
        rows.run(_insert((2, "10:05:00"), (3, "10:06:00")))
        assert ids(rows.rows(**_BY)) == [2, 3]
        execute(late, "COMMIT")
    assert ids(rows.rows(**_BY)) == [1]
    assert rows.batches(**_BY) == []


def test_a_row_that_was_committed_behind_the_lookback_is_not_seen(rows: Database) -> None:
    rows.run(_insert((2, "10:30:00")))
    assert ids(rows.rows(**_BY)) == [2]
    rows.run(_insert((1, "10:19:59"), (3, "10:20:00")))
    assert ids(rows.rows(**_BY)) == [3]


def test_rows_with_the_value_of_the_cursor_itself_are_found_without_any_lookback(rows: Database) -> None:
    rows.run(_insert((1, "10:00:00")))
    assert ids(rows.rows(cursor="updated_at")) == [1]
    rows.run(_insert((2, "10:00:00"), (3, "09:59:59")))
    assert ids(rows.rows(cursor="updated_at")) == [2]
    assert rows.batches(cursor="updated_at") == []


def test_rows_that_are_quite_alike_land_as_often_as_they_are_there(database: Database) -> None:
    database.run("CREATE TABLE rows (id int, updated_at timestamptz)", "CREATE INDEX ON rows (updated_at)")
    alike = "INSERT INTO rows SELECT 7, '2026-01-01' FROM generate_series(1, {})"
    database.run(alike.format(3))
    assert ids(database.rows(**_BY)) == [7, 7, 7]
    assert database.batches(**_BY) == []
    database.run(alike.format(2))
    assert ids(database.rows(budget=Budget(1), **_BY)) == [7, 7]
    assert database.batches(**_BY) == []


def test_another_version_of_a_row_lands_even_where_its_cursor_stayed(rows: Database) -> None:
    rows.run(_insert((1, "10:00:00"), (2, "10:00:01")))
    rows.batches(**_BY)
    rows.run("UPDATE rows SET note = 'changed' WHERE id = 1")
    assert [(row["id"], row["note"]) for row in rows.rows(**_BY)] == [(1, "changed")]


def test_a_row_of_the_future_does_not_hide_what_comes_after_it(rows: Database) -> None:
    rows.run("INSERT INTO rows VALUES (1, 'n', now()), (2, 'n', now() + interval '3 years')")
    assert ids(rows.rows(**_BY)) == [1, 2]
    for number in (3, 4):
        rows.run(f"INSERT INTO rows VALUES ({number}, 'n', now())")
        assert ids(rows.rows(**_BY)) == [number]
        assert rows.batches(**_BY) == []


def test_rows_without_a_cursor_or_with_an_infinite_one_are_not_taken_and_probing_says_so(rows: Database) -> None:
    rows.run(
        "INSERT INTO rows VALUES (1, 'n', NULL), (2, 'n', 'infinity'), (3, 'n', '-infinity')", _insert((4, "10:00"))
    )
    assert ids(rows.rows(**_BY)) == [4]
    (found,) = rows.source(**_BY).probe(rows.source().feeds()[0])
    assert (found.severity, "never taken" in found.message) == ("warning", True)


def test_a_window_that_holds_too_much_is_shortened_and_told(rows: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_window, "MOST_REMEMBERED", 3)
    rows.run(*(_insert((number, f"10:00:0{number}")) for number in range(1, 7)))
    batches = rows.batches(**_BY)
    told = [notice for batch in batches for notice in batch.notices]
    assert [notice.kind for notice in told] == ["window_shortened"]
    rows.run(_insert((7, "10:00:03"), (8, "10:00:05")))
    assert ids(rows.rows(**_BY)) == [8]
    rows.run(*(_insert((number, "10:01:00")) for number in range(10, 15)))
    assert len(rows.rows(**_BY)) == 5
    assert rows.batches(**_BY) == []


@pytest.mark.parametrize(
    "kind", ["bigint", "numeric(20)", "numeric", "text", "uuid", "date", "timestamp", "varchar(40)"]
)
def test_cursors_of_many_kinds_give_every_row_once(database: Database, kind: str) -> None:
    made = {"date": "date '2026-01-01' + {}", "timestamp": "timestamp '2026-01-01' + {} * interval '1 hour'"}
    uuid = "('00000000-0000-0000-0000-' || lpad({}::text, 12, '0'))::uuid"
    value = {**made, "uuid": uuid, "text": "lpad({}::text, 9, '0')", "varchar(40)": "lpad({}::text, 9, '0')"}.get(
        kind, "{}"
    )
    database.run(f"CREATE TABLE rows (id int PRIMARY KEY, at {kind})")
    seen: list[int] = []
    for first in (1, 21, 41):
        database.run(
            f"INSERT INTO rows SELECT i, {value.format('(i / 2)')} FROM generate_series({first}, {first + 19}) i"
        )
        seen += ids(database.rows(budget=Budget(1), cursor="at"))
    assert seen == list(range(1, 61))
    assert database.batches(cursor="at") == []


def test_transactions_committed_out_of_order_leave_every_version_once(rows: Database) -> None:
    """Random inserts and updates in open transactions, committed in any order within the lookback."""
    chance = random.Random(20261121)
    written: Counter[tuple[int, str]] = Counter()
    landed: Counter[tuple[int, str]] = Counter()
    clock = 0
    number = 0
    for _ in range(6):
        with connection(rows.url) as one, connection(rows.url) as two, connection(rows.url) as three:
            open_ones = [one, two, three]
            for opened in open_ones:
                execute(opened, "BEGIN")
            for _ in range(chance.randint(3, 9)):
                place = chance.randrange(3)
                clock += chance.randint(0, 20)
                at = f"timestamptz '2026-01-01' + {clock} * interval '1 second'"
                note = f"v{chance.getrandbits(40)}"
                mine = [each for each in range(1, number + 1) if each % 3 == place]
                if mine and chance.random() < 0.5:
                    changed = chance.choice(mine)
                    execute(
                        open_ones[place], f"UPDATE rows SET note = '{note}', updated_at = {at} WHERE id = {changed}"
                    )
                else:
                    number += 3
                    execute(open_ones[place], f"INSERT INTO rows VALUES ({number + place}, '{note}', {at})")
            chance.shuffle(open_ones)
            for opened in open_ones:
                execute(opened, "COMMIT")
                versions = rows.fetch("SELECT id, note FROM rows")
                written |= Counter((row["id"], row["note"]) for row in versions)
                budget = Budget(chance.choice([1, 500, 1 << 30]))
                got = rows.rows(budget=budget, cursor="updated_at", lookback="1 hour")
                landed += Counter((row["id"], row["note"]) for row in got)
    assert landed == written


def test_a_whole_table_that_holds_the_same_lands_nothing_even_where_it_cannot_be_marked(rows: Database) -> None:
    rows.run(_insert((1, "10:00:00"), (2, "11:00:00")), "CREATE VIEW seen AS SELECT * FROM rows ORDER BY id DESC")
    assert len(rows.rows(table="seen")) == 2
    assert rows.batches(table="seen")[-1].unchanged
    rows.run("UPDATE rows SET note = 'm' WHERE id = 1")
    again = rows.batches(table="seen")
    assert not again[-1].unchanged
    assert [row["_position"] for row in rows_in(again)] == [2, 3]


def test_a_whole_table_whose_rows_were_only_moved_lands_nothing(rows: Database) -> None:
    rows.run(_insert((1, "10:00:00"), (2, "11:00:00")))
    assert len(rows.rows()) == 2
    rows.run("UPDATE rows SET note = note")
    assert rows.batches()[-1].unchanged
    rows.run("ALTER TABLE rows ADD COLUMN more int DEFAULT 5")
    assert [row["more"] for row in rows.rows()] == [5, 5]


def test_a_whole_table_that_was_emptied_tells_so(rows: Database) -> None:
    rows.run(_insert((1, "10:00:00")))
    rows.batches()
    rows.run("TRUNCATE rows")
    (batch,) = rows.batches()
    assert [notice.kind for notice in batch.notices] == ["empty_file"]
    assert rows.batches() == []


def test_rows_that_change_while_a_table_is_read_are_as_they_were_when_it_began(rows: Database) -> None:
    _fill(rows, 300)
    source = rows.source(**_BY)
    reading = source.read(source.feeds()[0], None, Budget(1000))
    got = [next(reading)]
    rows.run(
        "UPDATE rows SET note = 'later', updated_at = updated_at + interval '1 day' WHERE id % 2 = 0",
        "DELETE FROM rows WHERE id = 299",
    )
    got += reading
    assert ids(rows_in(got)) == list(range(1, 301))
    assert {row["note"] for row in rows_in(got)} == {"x" * 200}


def test_a_new_column_is_added_and_a_missing_one_is_null_from_then_on(rows: Database) -> None:
    rows.run(_insert((1, "10:00:00")))
    rows.batches(**_BY)
    rows.run("ALTER TABLE rows ADD COLUMN more int", "INSERT INTO rows VALUES (2, 'n', '2026-01-01 10:00:01+00', 5)")
    first = rows.batches(**_BY)
    assert [row["more"] for row in rows_in(first)] == [5]
    assert "columns_added" in {notice.kind for batch in first for notice in batch.notices}
    rows.run("ALTER TABLE rows DROP COLUMN note", "INSERT INTO rows VALUES (3, '2026-01-01 11:00:00+00', 6)")
    second = rows.batches(**_BY)
    assert [row["id"] for row in rows_in(second)] == [3]
    assert {notice.kind for batch in second for notice in batch.notices} == {"columns_missing"}
    assert second[0].rows.column("note").null_count == 1


def test_a_column_of_another_type_stops_in_words(rows: Database) -> None:
    rows.run(_insert((1, "10:00:00")))
    rows.batches(**_BY)
    rows.run("ALTER TABLE rows ALTER COLUMN note TYPE int USING 1")
    with pytest.raises(SchemaDrift, match=r"column `note` is int32 now; shop\.rows landed it as string"):
        rows.batches(**_BY)


def test_a_table_that_is_read_cannot_be_altered_until_it_was_read(rows: Database) -> None:
    _fill(rows, 50)
    source = rows.source()
    reading = source.read(source.feeds()[0], None, Budget(1))
    next(reading)
    with connection(rows.url) as other, pytest.raises(Exception, match="lock timeout"):
        execute(other, "SET lock_timeout = '50ms'", "ALTER TABLE rows DROP COLUMN note")
    reading.close()  # type: ignore[attr-defined]
    rows.run("ALTER TABLE rows DROP COLUMN note")


def _until_it_fails(rows: Database, reading: Any) -> tuple[list[Batch], CatchmentError]:
    got: list[Batch] = []
    with pytest.raises(CatchmentError) as failed:
        got.extend(reading)
    return got, failed.value


@pytest.mark.parametrize("keys", [_BY, {}])
def test_a_line_that_is_cut_may_be_tried_again_and_goes_on_behind_the_last_load(rows: Database, keys: Any) -> None:
    _fill(rows, 20_000)
    with FaultProxy(("127.0.0.1", rows.postgres.port), cut_after=1_500_000) as proxy:
        url = rows.postgres.url(rows.name, port=proxy.port)
        source = rows.source(url=url, **keys)
        reading = source.read(source.feeds()[0], None, Budget(200_000))
        got, error = _until_it_fails(rows, reading)
        assert isinstance(error, RetryableError)
        assert rows.postgres.url().split("@")[0] not in str(error)
        whole = [place for place, batch in enumerate(got) if batch.cursor is not None]
        kept = got[: whole[-1] + 1] if whole else []
        assert bool(kept) == bool(keys)
        since = kept[-1].cursor if kept else None
        rest = list(source.read(source.feeds()[0], since, Budget()))
    assert ids(rows_in([*kept, *rest])) == list(range(1, 20_001))


def test_a_slow_line_changes_nothing(rows: Database) -> None:
    _fill(rows, 2000)
    with FaultProxy(("127.0.0.1", rows.postgres.port), delay_s=0.02) as proxy:
        url = rows.postgres.url(rows.name, port=proxy.port)
        assert ids(rows.rows(url=url, budget=Budget(100_000), **_BY)) == list(range(1, 2001))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_ends_in_the_middle_may_be_tried_again(rows: Database, how: signal.Signals) -> None:
    _fill(rows, 100_000)
    source = rows.source(**_BY)
    reading = source.read(source.feeds()[0], None, Budget(200_000))
    got = [next(reading)]
    while got[-1].cursor is None:  # one load is whole, or there is nothing to go on behind
        got.append(next(reading))
    rows.postgres.server.stop(how)
    more, error = _until_it_fails(rows, reading)
    assert isinstance(error, RetryableError)
    with pytest.raises(RetryableError, match="connection refused"):
        list(source.read(source.feeds()[0], None, Budget()))
    rows.postgres.server.start()
    got += more
    kept = got[: max(place for place, batch in enumerate(got) if batch.cursor is not None) + 1]
    rest = list(source.read(source.feeds()[0], kept[-1].cursor, Budget()))
    assert ids(rows_in([*kept, *rest])) == list(range(1, 100_001))


def test_a_statement_that_takes_too_long_says_which_limit_ended_it(rows: Database) -> None:
    rows.run(_insert((1, "10:00:00")), "ALTER ROLE postgres SET statement_timeout = '200ms'")
    try:
        with pytest.raises(ConfigError, match="statement_timeout") as stopped:
            rows.rows(where="pg_sleep(5) IS NOT NULL")
    finally:
        rows.run("ALTER ROLE postgres RESET ALL")
    assert "ALTER ROLE" in str(stopped.value.hint)


def test_reading_writes_nothing_and_says_who_asks(rows: Database) -> None:
    rows.run(
        _insert((1, "10:00:00")),
        "CREATE FUNCTION mean() RETURNS bool LANGUAGE sql AS 'DELETE FROM rows RETURNING true'",
    )
    with pytest.raises(CatchmentError, match="read-only"):
        rows.rows(where="mean()")
    assert ids(rows.rows(where="current_setting('application_name') = 'catchment'")) == [1]


def _words(database: Database, url: str | None = None, **keys: Any) -> CatchmentError:
    with pytest.raises(CatchmentError) as refused:
        database.rows(url=url, **keys)
    return refused.value


def test_what_somebody_must_mend_is_said_in_words(rows: Database, postgres: Postgres) -> None:
    url, name = postgres.url(rows.name), rows.name
    wrong = {
        postgres.url(name, password="a-wrong-secret"): "user or password is wrong",
        postgres.url("nowhere"): "no such database",
        url.replace("127.0.0.1", "nowhere.invalid"): "does not resolve",
        url + "?sslmode=require": "no encrypted connection",
        url.replace("an-open", "an%ZZopen"): "the address cannot be read",
    }
    for address, words in wrong.items():
        error = _words(rows, address)
        assert isinstance(error, ConfigError), error
        assert words in str(error)
        assert error.hint is not None
        assert "secret" not in f"{error} {error.hint} {error.__context__ if not error.__suppress_context__ else ''}"
    refused = _words(rows, postgres.url(name, port=1))
    assert isinstance(refused, RetryableError)
    assert f"127.0.0.1:1/{name}: connection refused" in str(refused)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"table": "rowz"}, "no table `rowz`"),
        ({"table": "no.such.table.here"}, "no table"),
        ({"cursor": "updated"}, "no column `updated`"),
        ({"columns": ["id", "nope"]}, "no column `nope`"),
        ({"where": "nope = 1"}, 'column "nope" does not exist'),
        ({"where": "id = "}, "syntax"),
        ({"cursor": "flag"}, "cannot be a cursor"),
        ({"cursor": "id", "lookback": "5 minutes"}, "does not fit a cursor"),
        ({"cursor": "updated_at", "lookback": 5}, "says no unit"),
    ],
)
def test_what_is_wrong_with_a_stream_is_said_in_words(rows: Database, keys: Any, words: str) -> None:
    rows.run(
        "ALTER TABLE rows ADD COLUMN flag boolean",
        _insert((1, "10:00:00")).replace("rows", "rows (id, note, updated_at)"),
    )
    error = _words(rows, **keys)
    assert isinstance(error, ConfigError)
    assert words in str(error)
    assert error.hint is not None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("rowz", "rows"),
        ("public.rowz", "public.rows"),
        ("order", "sales.orders"),
        ("sales.order", "sales.orders"),
        ("Capitals", '"Capitals"'),
    ],
)
def test_a_slip_of_the_pen_in_a_table_is_told_with_the_nearest_one(rows: Database, said: str, meant: str) -> None:
    rows.run("CREATE SCHEMA sales", "CREATE TABLE sales.orders (id int)", 'CREATE TABLE "Capitals" (id int)')
    try:
        source = rows.source(table=said)
        (finding,) = source.probe(source.feeds()[0])
        assert finding.hint == f"did you mean `{meant}`?"
        assert _words(rows, table=said).hint == finding.hint
        assert "write it as schema.table" in str(_words(rows, table="quite_another").hint)
    finally:
        rows.run("DROP SCHEMA sales CASCADE")


def test_probing_finds_what_a_run_would_meet(rows: Database, postgres: Postgres) -> None:
    rows.run("CREATE TABLE bare (id int, at timestamptz NOT NULL)", "CREATE ROLE guest LOGIN PASSWORD 'an-open-secret'")
    try:
        rows.run("GRANT USAGE ON SCHEMA public TO guest")
        feed = rows.source().feeds()[0]
        found = {
            "missing": rows.source(table="nope").probe(feed)[0],
            "unindexed": rows.source(table="bare", cursor="at").probe(feed)[0],
            "good": rows.source(**_BY).probe(feed)[0],
            "refused": rows.source(url=postgres.url(rows.name, user="guest")).probe(feed)[0],
        }
    finally:
        rows.run("DROP OWNED BY guest", "DROP ROLE guest")
    severities = {name: one.severity for name, one in found.items()}
    assert severities == {"missing": "error", "unindexed": "warning", "good": "ok", "refused": "error"}
    assert "no right to read it" in found["refused"].message
    assert "has no index" in found["unindexed"].message


def test_another_cursor_than_the_one_it_was_read_by_is_refused(rows: Database) -> None:
    rows.run(_insert((1, "10:00:00")))
    rows.batches(**_BY)
    with pytest.raises(ConfigError, match="was read by updated_at so far"):
        rows.batches(cursor="id")
