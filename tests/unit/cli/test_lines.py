"""What commands print, made of small values."""

from __future__ import annotations

import io
import json
import signal
import threading
from contextlib import redirect_stdout
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from catchment.answers import GoldStatus, LastRun, Preview, QuarantineSummary, Status, TableStatus
from catchment.cli import check, plan, preview, quarantine, query, run, signals, status
from catchment.cli.terminal import plain, values
from catchment.errors import Problem
from catchment.records import Pending, Step

LAND = Step("land", "drops.users", (), "bronze.drops__users")
REFINE = Step("refine", "silver.users", ("bronze.drops__users",), "silver.users")
MODEL = Step("model", "gold", ("silver.users",), "gold")


def test_a_plan_shows_what_is_new_and_counts_the_rest() -> None:
    found = [Pending(LAND, True, "2 new files, 11 MB"), Pending(REFINE, True, "after land"), Pending(MODEL, False, "-")]
    assert plan.lines(found) == [
        "  land     drops.users    2 new files, 11 MB",
        "  refine   silver.users   after land",
        "2 steps; 1 has nothing new.",
    ]


EDITS = (
    ("+ column loyalty_points (integer)", "goes on: null in older rows"),
    ("~ email: pattern added", "changes which rows are good"),
)
CHOICES = ("--rebuild silver.users", "--forward silver.users")


def test_a_changed_definition_is_shown_with_its_choices() -> None:
    found = [Pending(REFINE, True, "definition changed", EDITS, CHOICES, rows=2005)]
    assert plan.lines(found, {REFINE.id: 2500.0}) == [
        "  refine   silver.users   definition changed:",
        "             + column loyalty_points (integer)   goes on: null in older rows",
        "             ~ email: pattern added              changes which rows are good",
        "           choose: --rebuild silver.users (2,005 bronze rows, about 1 s)  or  --forward silver.users",
        "1 step.",
        "1 step needs your choice.",
    ]


@pytest.mark.parametrize(
    ("pace", "words"), [(None, "(2,005 bronze rows)"), (100.0, "rows, about 20 s)"), (10.0, "rows, about 3 min 20 s)")]
)
def test_a_rebuild_says_how_long_it_takes_where_that_is_known(pace: float | None, words: str) -> None:
    found = [Pending(REFINE, True, "definition changed", EDITS, CHOICES[:1], rows=2005)]
    told = plan.lines(found, {} if pace is None else {REFINE.id: pace})
    assert words in told[3]


def test_a_definition_that_goes_on_by_itself_needs_no_choice() -> None:
    told = plan.lines([Pending(REFINE, True, "after land", EDITS[:1])])
    assert told[-1] == "1 step."
    assert not any("choose" in line for line in told)


def test_a_plan_tells_what_is_odd_where_nothing_is_new() -> None:
    odd = Pending(LAND, False, "nothing new; no file matches data/user/*.csv (drops.users)")
    assert plan.lines([odd, Pending(REFINE, False, "nothing new")]) == [
        "  land     drops.users   no file matches data/user/*.csv (drops.users)",
        "Nothing new in 2 steps.",
    ]


def test_a_plan_says_in_its_place_what_cannot_be_told_and_each_cure_once() -> None:
    users = Step("land", "shop_db.users", (), "bronze.shop_db__users")
    error = "cannot reach 127.0.0.1:5432: connection refused\nis it up?"
    wrong = Pending(users, False, f"cannot be told: {error}", error=error, hint="start it")
    assert plan.lines([wrong, wrong, Pending(LAND, True, "2 new files")]) == [
        "  land     shop_db.users   cannot be told: cannot reach 127.0.0.1:5432: connection refused",
        "             is it up?",
        "  land     shop_db.users   cannot be told: cannot reach 127.0.0.1:5432: connection refused",
        "             is it up?",
        "  land     drops.users     2 new files",
        "1 step.",
        "2 steps cannot be told; what depends on them may have more to do.",
        "hint: start it",
    ]


def test_a_plan_without_news_is_one_line() -> None:
    assert plan.lines([Pending(LAND, False, "nothing new")]) == ["Nothing new in 1 step."]


def test_a_status_is_a_table() -> None:
    newest = datetime(2026, 11, 20, 23, 58, tzinfo=UTC)
    tables = [
        TableStatus("bronze.drops__users", 48_210, 3),
        TableStatus("silver.users", 46_377, 3, newest, 1800.0, 3600, 1702, 0.035, 0, score=98.16),
        TableStatus("silver.late", 1, 1, newest, 864_000.0, 3600, 0, 0.0, 2),
    ]
    last = LastRun("r1", datetime(2026, 11, 21, 9, 14, tzinfo=UTC), 8.1, "done")
    found = Status("shop", "local", tables, GoldStatus(1, newest, ["a", "b"], False), last)
    assert status.lines(found) == [
        "shop · target local · last run 2026-11-21 09:14 UTC, 8.1 s, ok",
        "table                     rows   version   newest row         fresh                        rejected   score"
        "   behind",
        "bronze.drops__users     48,210   3         -                  -                                   -       -"
        "   -",
        "silver.users            46,377   3         2026-11-20 23:58   ok (60 min)                     3.5 %    98.1"
        "   -",
        "silver.late                  1   1         2026-11-20 23:58   late: 10 days old (60 min)        0 %       -"
        "   2 loads",
        "gold                  2 models   build 1   2026-11-20 23:58   -                                   -       -"
        "   yes",
    ]


def test_a_project_that_never_ran_has_a_status() -> None:
    assert status.lines(Status("shop", "local", (), GoldStatus(None, None))) == [
        "shop · target local · never run",
        "No table yet.",
    ]


def test_problems_are_counted_and_warnings_marked() -> None:
    problems = [Problem("a.yaml", "wrong", 1, 2, cure="right"), Problem("b.yaml", "odd", severity="warning")]
    assert check.lines(problems) == [
        "a.yaml:1:2  wrong; right",
        "b.yaml  warning: odd",
        "1 problem and 1 warning. Nothing was run.",
    ]
    assert check.lines(problems[1:])[-1] == "No problems, 1 warning."


def test_the_quarantine_list_names_the_most_frequent_reason() -> None:
    found = [
        QuarantineSummary("silver.users", 1702, datetime(2026, 11, 21, 9, 14, tzinfo=UTC), [("email: required", 812)])
    ]
    assert quarantine.lines(found) == [
        "table          rows  newest                most frequent reason",
        "silver.users  1,702  2026-11-21 09:14 UTC  email: required (812)",
    ]


def test_a_preview_says_what_would_pass_and_why_the_rest_would_not() -> None:
    found = Preview("silver.orders", 812_331, 811_906, 425, [('amount: "n/a" is not a number', 425)], pa.table({}), ())
    assert preview.summary(found) == (
        '812,331 rows read, 811,906 would pass, 425 would not (amount: "n/a" is not a number, 425).'
    )
    assert preview.summary(Preview("silver.a", 5, 5, 0, (), pa.table({}), ())) == "5 rows read, all would pass."
    assert "2 would be dropped" in preview.summary(Preview("silver.a", 5, 3, 0, (), pa.table({}), ()))


ROWS = pa.table(
    {
        "name": ["Å", 'say "hi"', None, ""],
        "n": pa.array([1, 20, None, 3], pa.int64()),
        "d": pa.array([Decimal("1.50"), None, None, None], pa.decimal128(5, 2)),
        "at": pa.array([datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)] * 4, pa.timestamp("us", "UTC")),
        "l": [[1], [], None, [2, 3]],
    }
)


def test_rows_are_aligned_and_numbers_end_together() -> None:
    lines = query.table_lines(ROWS.select(["name", "n", "d"]))
    assert lines == [
        "name         n     d",
        "Å            1  1.50",
        'say "hi"    20  null',
        "null      null  null",
        "             3  null",
    ]


def test_long_cells_are_cut_where_a_width_is_asked_for() -> None:
    assert query.table_lines(pa.table({"t": ["x" * 90]}), widest=10)[1] == "x" * 9 + "…"


def test_what_would_steer_a_terminal_is_written_out() -> None:
    rows = pa.table({"t": ["a\x1b[31m\tb", "é"], "b": [b"\x89PNG\x00", "é".encode()]})
    assert query.table_lines(rows)[1:] == [r"a\x1b[31m\tb  \x89PNG\x00", "é             é"]


def reader() -> pa.RecordBatchReader:
    return ROWS.to_reader(max_chunksize=2)


def test_json_of_a_query_is_an_array_of_objects() -> None:
    with redirect_stdout(io.StringIO()) as told:
        query.out_json_rows(reader())
    rows = json.loads(told.getvalue())
    assert rows[0] == {"name": "Å", "n": 1, "d": "1.50", "at": "2026-01-02T03:04:05+00:00", "l": [1]}
    assert [row["n"] for row in rows] == [1, 20, None, 3]


def test_json_of_no_rows_is_an_empty_array() -> None:
    with redirect_stdout(io.StringIO()) as told:
        query.out_json_rows(ROWS.slice(0, 0).to_reader())
    assert json.loads(told.getvalue()) == []


def test_csv_of_a_query_tells_null_from_an_empty_text() -> None:
    with redirect_stdout(io.StringIO()) as told:
        query.out_csv(reader())
    lines = told.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[0].replace('"', "") == "name,n,d,at,l"
    assert lines[2].startswith('"say ""hi""",20,,')
    assert lines[3].startswith(",,,")
    assert lines[4].startswith('"",3,,')


def test_what_json_cannot_hold_becomes_text_or_null() -> None:
    assert plain({"a": (Decimal("1.10"), float("nan"), b"x")}) == {"a": ["1.10", None, "x"]}


@pytest.mark.parametrize(
    ("models", "model"),
    [(["stg_a", "daily_sales", "zz"], "daily_sales"), (["stg_a", "fct_b"], "fct_b"), (["stg_a"], "stg_a"), ([], None)],
)
def test_a_model_worth_a_look_is_no_staging_view(models: list[str], model: str | None) -> None:
    assert run.worth_a_look(models, {}) == model


def test_a_model_worth_a_look_has_rows_where_any_has() -> None:
    models = ["daily_sales", "dim_users", "fct_orders", "stg_orders"]
    rows = {"main_cur.daily_sales": 0, "main_std.dim_users": 3, "main_cur.fct_orders": 0}
    assert run.worth_a_look(models, rows) == "dim_users"
    assert run.worth_a_look(models, dict.fromkeys(rows, 0)) == "stg_orders"
    assert run.worth_a_look(models[:2], dict.fromkeys(rows, 0)) == "daily_sales"


def test_the_first_ctrl_c_asks_to_stop_and_the_second_one_stops(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with signals.stoppable() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert "press Ctrl-C again to stop at once" in capsys.readouterr().err


def test_sigterm_asks_to_stop_however_often_it_comes() -> None:
    with signals.stoppable() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()


def test_another_thread_has_no_signals_to_hear() -> None:
    heard: list[bool] = []

    def work() -> None:
        with signals.stoppable() as stop:
            heard.append(stop.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [False]


def test_no_column_of_a_query_is_lost_in_json_though_two_have_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    rows = pa.table([[1], [2], [3]], names=["a", "a", "a_2"])
    query.out_json_rows(rows.to_reader())
    assert json.loads(capsys.readouterr().out) == [{"a": 1, "a_2": 2, "a_2_2": 3}]


def test_what_python_has_no_value_for_is_shown_as_text() -> None:
    late = pa.array([253402300800000000], pa.timestamp("us", "UTC"))
    assert values(late) == ["10000-01-01 00:00:00.000000Z"]
    assert values(pa.array([1, None])) == [1, None]


def test_a_decimal_is_written_digit_by_digit() -> None:
    assert plain(Decimal("0E-10")) == "0.0000000000"
    assert plain(Decimal("1E+3")) == "1000"
