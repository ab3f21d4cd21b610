from __future__ import annotations

import io

from catchment.events import (
    CheckFailed,
    Event,
    GoldBuilt,
    GoldPublished,
    Noticed,
    RowsLanded,
    RowsQuarantined,
    RowsRefined,
    RunFinished,
    RunStarted,
    SpanAccepted,
    StepFinished,
    StepProgress,
    StepRetried,
    StepStarted,
    TableRestored,
)
from catchment.observe.console import Console

LAND, REFINE = "land:drops.users", "refine:silver.users"
START = RunStarted(run="r1", project="shop", target="local", steps=4)


def told(*events: Event) -> str:
    stream = io.StringIO()
    with Console(stream, names=["drops.users", "silver.users"]) as console:
        for event in events:
            console.on(event)
    return stream.getvalue()


def landed(rows: int = 48_210) -> list[Event]:
    return [
        StepStarted(step=LAND, kind="land", name="drops.users"),
        StepProgress(step=LAND, done=10, total=20),
        RowsLanded(step=LAND, table="bronze.drops__users", load=1, rows=rows, defects=0, items=3, bytes=1),
        StepFinished(step=LAND, kind="land", name="drops.users", outcome="done", seconds=0.42),
    ]


def refined() -> list[Event]:
    return [
        StepStarted(step=REFINE, kind="refine", name="silver.users"),
        RowsQuarantined(step=REFINE, table="silver.users", rows=1_702, reasons=[("email: required", 1_702)]),
        RowsRefined(
            step=REFINE,
            table="silver.users",
            rows=48_210,
            written=46_377,
            rejected=1_702,
            superseded=131,
            filtered=0,
            load=1,
        ),
        StepFinished(step=REFINE, kind="refine", name="silver.users", outcome="done", seconds=0.5),
    ]


def test_a_run_is_a_calm_table_and_a_summary() -> None:
    gold = [
        GoldBuilt(step="model:gold", models=14, tests=53, warnings=1, failures=0, seconds=4.8),
        StepFinished(step="model:gold", kind="model", name="gold", outcome="done", seconds=4.8),
        GoldPublished(step="publish:gold", build=1),
        StepFinished(step="publish:gold", kind="publish", name="gold", outcome="done", seconds=0),
    ]
    text = told(START, *landed(), *refined(), *gold, RunFinished(run="r1", outcome="done", seconds=8.14))
    assert text == (
        "shop · target local · 4 steps\n"
        "  land     drops.users                 48,210 rows   3 files                          0.4 s\n"
        "  refine   silver.users                46,377 rows   1,702 rejected · 131 superseded  0.5 s\n"
        "  model    gold                          14 models   52 tests passed · 1 warning      4.8 s\n"
        "  publish  gold                     build 1                                           0.0 s\n"
        "\n"
        "Done in 8.1 s: 48,210 rows landed, 46,377 in silver, 1,702 in quarantine, 14 gold models.\n"
        "  1,702 rows of silver.users were rejected: catchment quarantine show silver.users\n"
    )


def test_rows_that_say_nothing_new_are_told_apart_from_those_that_lost_to_newer_ones() -> None:
    whole = RowsRefined(
        step=REFINE,
        table="silver.users",
        rows=5_000,
        written=2,
        rejected=0,
        superseded=1,
        filtered=0,
        load=2,
        unchanged=4_997,
    )
    end = StepFinished(step=REFINE, kind="refine", name="silver.users", outcome="done", seconds=0.1)
    assert "2 rows   1 superseded · 4,997 unchanged  " in told(START, whole, end)


def test_what_is_accepted_is_told_as_that_and_not_as_no_rows() -> None:
    accepted = SpanAccepted(step=REFINE, table="silver.users", spans={"bronze.drops__users": 3})
    end = StepFinished(step=REFINE, kind="refine", name="silver.users", outcome="done", seconds=0.1)
    assert told(START, accepted, end).splitlines()[1:] == [
        "  accept   silver.users               what is held passes with the next run",
    ]


def test_a_way_back_is_told_as_that_and_not_as_no_rows() -> None:
    back = TableRestored(
        step=REFINE, table="silver.users", verb="restore", generation=5, to=3, rows=12, cut_off=[(4, 4)]
    )
    end = StepFinished(step=REFINE, kind="refine", name="silver.users", outcome="done", seconds=0.1)
    assert told(START, back, end).splitlines()[1:] == [
        "  restore  silver.users               as it was at generation 3: 12 rows; cut off: 4-4",
    ]


def test_nothing_new_is_one_line() -> None:
    quiet = [
        StepStarted(step=LAND, kind="land", name="drops.users"),
        StepFinished(step=LAND, kind="land", name="drops.users", outcome="nothing_new", seconds=0.1),
    ]
    text = told(START, *quiet, RunFinished(run="r1", outcome="nothing_new", seconds=0.6))
    assert text == "shop · target local · nothing new (0.6 s)\n"


def test_a_failure_ends_with_its_cause_and_cure_and_counts_what_was_skipped() -> None:
    failed = StepFinished(
        step=REFINE,
        kind="refine",
        name="silver.users",
        outcome="failed",
        seconds=0.3,
        cause="silver.users stopped before it committed\nmost frequent reason: email: required",
        hint="look: catchment quarantine show silver.users",
    )
    skipped = [
        StepFinished(
            step=f"{kind}:gold", kind=kind, name="gold", outcome="skipped", seconds=0, cause="silver.users failed"
        )
        for kind in ("model", "publish")
    ]
    text = told(START, *landed(5), failed, *skipped, RunFinished(run="r1", outcome="failed", seconds=1))
    assert "\n  refine   silver.users             failed " in text
    assert text.endswith(
        "\nerror: silver.users stopped before it committed\n"
        "  most frequent reason: email: required\n"
        "hint: look: catchment quarantine show silver.users\n"
        "\n"
        "Failed in 1.0 s: 1 step failed; 2 steps that depend on it were skipped."
        " What the others did is kept: 5 rows landed.\n"
    )


def test_one_cause_of_many_steps_is_told_once() -> None:
    down = "cannot connect to 127.0.0.1:1/shop: connection refused"
    steps = [("db.a", f"db.a: {down}"), ("db.b", f"db.b: {down}"), ("db.c", f"db.c: {down}"), ("x.y", "x.y: no file")]
    failed = [
        StepFinished(step=f"land:{name}", kind="land", name=name, outcome="failed", seconds=0, cause=cause, hint="why?")
        for name, cause in steps
    ]
    said = told(*failed, RunFinished(run="1", outcome="failed", seconds=1)).splitlines()
    assert [line for line in said if line.startswith(("error", "hint"))] == [
        f"error: db.a and 2 others: {down}",
        "hint: why?",
        "error: x.y: no file",
        "hint: why?",
    ]
    assert said[-1] == "Failed in 1.0 s: 4 steps failed."


def test_a_stopped_run_says_that_nothing_is_lost() -> None:
    text = told(START, *landed(5), RunFinished(run="r1", outcome="stopped", seconds=1))
    assert "Stopped after 1.0 s: 5 rows landed. What was committed is kept; run again to go on." in text


def test_notes_follow_the_line_of_their_step() -> None:
    events = landed(5)
    noticed = Noticed(step=LAND, kind="columns_added", message="new column\n  `colour`")
    check = CheckFailed(step=LAND, table="bronze.drops__users", rule="rows", message="too few")
    lines = told(START, events[0], noticed, check, *events[1:]).splitlines()
    assert lines[1].startswith("  land     drops.users ")
    assert lines[2].split(maxsplit=2) == ["note", "drops.users", "new column `colour`"]
    assert lines[3].split(maxsplit=2) == ["warning", "drops.users", "rows: too few"]


def test_what_concerns_the_whole_run_is_said_at_once() -> None:
    assert told(START, Noticed(step="", kind="second_run", message="another run is going on")) == (
        "note: another run is going on\n"
    )


def test_a_retry_is_said_when_it_happens() -> None:
    text = told(
        START,
        StepStarted(step=LAND, kind="land", name="drops.users"),
        StepRetried(step=LAND, attempt=2, message="gone"),
    )
    assert text.splitlines()[-1].split(maxsplit=2) == ["land", "drops.users", "try 2: gone"]


def test_loads_of_one_step_are_added_up() -> None:
    events = landed(7)
    assert " 14 rows   6 files" in told(START, *events[:3], *events[2:])


def test_bars_leave_the_lines_whole() -> None:
    stream = io.StringIO()
    with Console(stream, names=["drops.users"], bars=True) as console:
        for event in [START, *landed(), RunFinished(run="r1", outcome="done", seconds=1)]:
            console.on(event)
    assert (
        "  land     drops.users                 48,210 rows   3 files                          0.4 s\n"
        in stream.getvalue()
    )


def test_models_of_a_build_that_was_not_published_are_not_kept() -> None:
    red = [
        GoldBuilt(step="model:gold", models=14, tests=53, warnings=0, failures=1, seconds=4.8),
        StepFinished(
            step="model:gold", kind="model", name="gold", outcome="failed", seconds=4.8, cause="a test failed"
        ),
    ]
    text = told(START, *landed(5), *red, RunFinished(run="r1", outcome="failed", seconds=8))
    assert text.endswith("What the others did is kept: 5 rows landed.\n")


def test_lines_fit_a_terminal_of_80_columns_where_they_can() -> None:
    stream = io.StringIO()
    with Console(stream, names=["drops.transactions", "silver.transactions"], columns=80) as console:
        for event in [START, *landed(), RunFinished(run="r1", outcome="done", seconds=1)]:
            console.on(event)
    line = stream.getvalue().splitlines()[1]
    assert line == "  land     drops.users            48,210 rows   3 files                   0.4 s"
    assert len(line) <= 80
