"""`init --from`: what is guessed, and that it rests on every row."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catchment.check import check_project
from catchment.draft import ColumnGuess, TableGuess, find_streams, project_name, study, write_draft
from catchment.draft.dates import patterns_of
from catchment.draft.streams import snake_case
from catchment.draft.tables import study_rows
from catchment.errors import ConfigError
from catchment.project import load_project
from catchment.sources import changes
from catchment.sources.topic.rows import Messages, Values

Guess = Callable[..., TableGuess]


def csv(path: Path, header: str, rows: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def column(tmp_path: Path) -> Callable[[Sequence[str]], ColumnGuess]:
    def guess(values: Sequence[str], name: str = "x") -> ColumnGuess:
        rows = [f"{number},{value}" for number, value in enumerate(values)]
        (stream,) = find_streams(str(csv(tmp_path / "things.csv", f"id,{name}", rows)))
        return study(stream).columns[1]

    return guess


Column = Callable[[Sequence[str]], ColumnGuess]


@pytest.mark.parametrize(
    ("values", "kind", "physical"),
    [
        (["1", "-2", "+3", ""], "integer", None),
        (["17850.0", "1.0", "2.0"], "integer", None),
        (["1.5", "2", "-0.25"], "number", "decimal(18,2)"),
        (["12345678901234567.25", "1.5"], "number", "decimal(38,2)"),
        (["1e3", "2.5"], "number", None),
        (["true", "False", "TRUE"], "boolean", None),
        (["2026-01-02", "2026-12-31"], "date", None),
        (["2026-01-02 08:15:00", "2026-01-02T08:15:00.123Z"], "timestamp", None),
        (["08:15", "23:59:59"], "time", None),
        (["a", "1"], "string", None),
        (["1,5".replace(",", "."), "n/a", "x1"], "string", None),
        (["", ""], "string", None),
        (["123456789012345678901", "1"], "string", None),
    ],
)
def test_types_follow_from_all_values(values: list[str], kind: str, physical: str | None, column: Column) -> None:
    guess = column(values)
    assert (guess.type, guess.physical) == (kind, physical)


def test_leading_zeros_keep_text_and_are_counted(column: Column) -> None:
    guess = column(["01067", "20095", "04109"])
    assert guess.type == "string"
    assert guess.remark == "x kept as text (2 begin with 0)"


@pytest.mark.parametrize("value", ["1.234,56", "-0,5", "1,234", "1,234.50"])
def test_numbers_with_a_comma_are_text_and_the_draft_says_why(value: str, tmp_path: Path) -> None:
    rows = [f"{number};{value};12" for number in range(20)]
    (stream,) = find_streams(str(csv(tmp_path / "things.csv", "id;amount;count", [*rows, "20;k.A.;x", "21;7;9"])))
    guess = study(stream).columns[1]
    assert guess.type == "string"
    assert guess.evidence.startswith("kept as text: numbers with a comma")
    assert guess.remark is not None


def test_words_with_a_comma_are_no_numbers(column: Column) -> None:
    guess = column(['"Rome, IT"', '"1, High Street"', "7"])
    assert guess.evidence.startswith("text;")


def test_a_german_date_is_read_in_its_format(column: Column) -> None:
    guess = column(["02.01.2026 08:15", "31.12.2026 23:59"])
    assert (guess.type, guess.formats) == ("timestamp", ("dd.MM.yyyy HH:mm",))
    assert guess.remark == "x as dd.MM.yyyy HH:mm (all rows)"


def test_two_formats_in_one_column_are_both_found(column: Column) -> None:
    guess = column(["2026-01-02T08:15:00Z"] * 30 + ["31/12/2026 08:15:00"] * 3)
    assert guess.type == "timestamp"
    assert guess.formats == ("yyyy-MM-dd'T'HH:mm:ssX", "dd/MM/yyyy HH:mm:ss")


@pytest.mark.parametrize(("day", "found"), [("13/02/2026", "dd/MM/yyyy"), ("02/13/2026", "MM/dd/yyyy")])
def test_a_day_after_the_twelfth_tells_day_from_month(day: str, found: str, column: Column) -> None:
    assert column(["01/02/2026", "03/04/2026", day]).formats == (found,)


def test_a_date_that_can_be_read_two_ways_stays_text(column: Column) -> None:
    guess = column(["01/02/2026", "03/04/2026"])
    assert guess.type == "string"
    assert "dd/MM/yyyy or MM/dd/yyyy?" in guess.evidence


def test_words_for_nothing_become_null_markers_of_a_number(column: Column) -> None:
    guess = column(["1.5", "n/a", "NULL", "2.5", "-"])
    assert guess.type == "number"
    assert sorted(guess.null_markers) == ["-", "NULL", "n/a"]
    assert not guess.required


def test_a_country_called_na_stays_a_country(column: Column) -> None:
    guess = column(["DE", "NA", "FR"])
    assert (guess.type, guess.null_markers) == ("string", ())


def test_one_per_cent_of_dirt_leaves_the_type_and_is_told(column: Column) -> None:
    guess = column([str(number) for number in range(200)] + ["oops"])
    assert guess.type == "integer"
    assert '1 will be rejected, such as "oops" (1)' in guess.evidence


def test_codes_among_numbers_are_no_dirt(column: Column) -> None:
    guess = column([str(number) for number in range(536365, 536565)] + ["C536379"])
    assert guess.type == "string"
    assert guess.remark == 'x kept as text ("C536379" is no number)'


def test_an_impossible_date_leaves_the_type(column: Column) -> None:
    guess = column([f"{day:02}/01/2026" for day in range(1, 32)] * 5 + ["31/02/2026"])
    assert (guess.type, guess.formats) == ("date", ("dd/MM/yyyy",))


def test_a_column_is_required_only_when_no_row_lacks_it(column: Column) -> None:
    assert column(["a", "b"]).required
    assert not column(["a", ""]).required


def test_rare_values_late_in_a_large_file_count(column: Column) -> None:
    guess = column([str(number) for number in range(60_000)] + ["007"])
    assert guess.type == "string"
    assert "1 begin with 0" in guess.evidence


# Keys.


def table(tmp_path: Path, header: str, rows: Sequence[str], name: str = "orders") -> TableGuess:
    (stream,) = find_streams(str(csv(tmp_path / f"{name}.csv", header, rows)))
    return study(stream)


def test_an_id_that_is_unique_is_the_key(tmp_path: Path) -> None:
    found = table(tmp_path, "note,order_id", [f"n{number},{number}" for number in range(50)])
    assert found.key.columns == ("order_id",)
    assert found.key.words == "key order_id (unique in 50 of 50)"
    assert found.mode == "append"


def test_an_id_with_one_repeat_is_no_key(tmp_path: Path) -> None:
    found = table(tmp_path, "order_id,note", [f"{number},n" for number in range(500)] + ["7,n"])
    assert found.key.columns == ()
    assert found.key.words == "no key found: rows are kept as they come"


def test_an_id_that_one_row_lacks_is_no_key_and_the_contract_says_why(tmp_path: Path) -> None:
    found = table(tmp_path, "order_id,note", [f"{number},n" for number in range(50)] + [",n"])
    assert found.key.columns == ()
    assert "order_id: 1 rows lack it" in found.key.evidence


def test_two_columns_together_can_be_the_key(tmp_path: Path) -> None:
    rows = [f"{order},{line},x" for order in range(20) for line in range(3)]
    assert table(tmp_path, "order_id,line,what", rows).key.columns == ("order_id", "line")


def test_a_number_that_happens_to_be_unique_is_no_key(tmp_path: Path) -> None:
    found = table(tmp_path, "kind,amount", [f"a,{number}" for number in range(50)])
    assert found.key.columns == ()


def test_a_key_with_a_time_of_change_is_merged(tmp_path: Path) -> None:
    rows = [f"{number},2026-01-{number % 28 + 1:02}T00:00:00Z" for number in range(50)]
    found = table(tmp_path, "user_id,updated_at", rows, "users")
    assert (found.key.columns, found.mode, found.key.latest_by) == (("user_id",), "merge", "updated_at")


def test_snapshots_of_changing_rows_are_merged_by_their_id(tmp_path: Path) -> None:
    rows = [f"{user},2026-01-{day:02}" for user in range(10) for day in (1, 2, 3)]
    found = table(tmp_path, "user_id,updated_at", rows, "users")
    assert (found.key.columns, found.mode) == (("user_id",), "merge")
    assert "user_id has 10 values in 30 rows" in found.key.evidence


def test_a_file_without_a_header_line_is_noticed(tmp_path: Path) -> None:
    assert table(tmp_path, "1001,2026-01-02,x", ["1002,2026-01-03,y"]).has_odd_header
    assert not table(tmp_path, "order_id,2nd,x", ["1002,2026-01-03,y"], "named").has_odd_header


# Streams.


def names(folder: Path, pattern: str) -> dict[str, tuple[str, int]]:
    return {
        stream.name: (stream.path.removeprefix(f"{folder}/"), len(stream.files))
        for stream in find_streams(str(folder / pattern))
    }


def test_files_of_one_kind_are_one_stream(tmp_path: Path) -> None:
    for day in ("01", "02"):
        csv(tmp_path / f"orders-2026-01-{day}.csv", "a,b", ["1,2"])
    csv(tmp_path / "stock.csv", "c,d", ["1,2"])
    assert names(tmp_path, "*.csv") == {"orders": ("orders-*.csv", 2), "stock": ("stock.csv", 1)}


def test_files_named_by_date_only_are_named_after_their_folder(tmp_path: Path) -> None:
    for day in ("01", "02"):
        csv(tmp_path / "retail" / f"2010-12-{day}.csv", "a,b", ["1,2"])
    assert names(tmp_path, "retail/*.csv") == {"retail": ("retail/*.csv", 2)}


def test_folders_by_date_are_part_of_the_pattern(tmp_path: Path) -> None:
    for day in ("01", "02"):
        csv(tmp_path / "day=7" / f"2026-01-{day}" / "orders.csv", "a,b", ["1,2"])
    assert names(tmp_path, "**/*.csv") == {"orders": ("*/*/orders.csv", 2)}


def test_packed_and_plain_files_are_one_stream(tmp_path: Path) -> None:
    csv(tmp_path / "orders-1.csv", "a,b", ["1,2"])
    (tmp_path / "orders-2.csv.gz").write_bytes(gzip.compress(b"a,b\n3,4\n"))
    assert names(tmp_path, "*") == {"orders": ("orders-*.csv*", 2)}
    assert study(find_streams(str(tmp_path / "*"))[0]).rows == 2


def test_files_of_other_columns_are_a_stream_of_their_own(tmp_path: Path) -> None:
    csv(tmp_path / "export-1.csv", "a,b", ["1,2"])
    csv(tmp_path / "export-2.csv", "c,d", ["1,2"])
    assert names(tmp_path, "*.csv") == {"export_1": ("export-1.csv", 1), "export_2": ("export-2.csv", 1)}


def test_nothing_found_is_told_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file matches") as told:
        find_streams(str(tmp_path / "*.csv"))
    assert "quotes" in str(told.value.hint)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("InvoiceNo", "invoice_no"),
        ("Sub-Category", "sub_category"),
        ("Row ID", "row_id"),
        ("Größe", "grosse"),
        ("2nd", "n_2nd"),
    ],
)
def test_headers_become_names(header: str, name: str) -> None:
    assert snake_case(header) == name


@pytest.mark.parametrize(
    ("shape", "patterns"),
    [
        ("9999-99-99T99:99:99.999Z", ("yyyy-MM-dd'T'HH:mm:ss.SSSX",)),
        ("99/99/9999 9:99 PM", ("dd/MM/yyyy hh:mm a", "MM/dd/yyyy hh:mm a")),
        ("99-MMM-9999", ("dd-MMM-yyyy",)),
        ("99.99.99", ()),
        ("9999-99-99 99", ()),
    ],
)
def test_shapes_of_dates(shape: str, patterns: tuple[str, ...]) -> None:
    assert patterns_of(shape) == patterns


# Other formats.


def test_documents_become_columns_by_their_paths(tmp_path: Path) -> None:
    rows = [
        {"id": n, "customer": {"zip": f"0{n}"}, "at": "2026-01-02", "tags": ["x"], "odd key": 1.5} for n in range(5)
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    found = study(find_streams(str(tmp_path / "events.jsonl"))[0])
    assert [(c.name, c.source, c.type) for c in found.columns] == [
        ("id", "$.id", "integer"),
        ("customer_zip", "$.customer.zip", "string"),
        ("at", "$.at", "date"),
        ("tags", "$.tags", "array"),
        ("odd_key", '$."odd key"', "number"),
    ]
    assert found.key.columns == ("id",)


def beside(*documents: str | None) -> dict[str, list[object]]:
    """Columns of a bronze batch with these documents, as every source lands them."""
    count = len(documents)
    ours = {"_origin": ["t/0"] * count, "_position": list(range(count)), "_defect": [None] * count}
    return {**ours, "_raw": [None] * count, "document": list(documents)}  # type: ignore[dict-item]


def test_documents_with_columns_beside_them_are_taken_apart_too() -> None:
    documents = [json.dumps({"event_id": f"e-{n}", "user": {"id": n % 3}}) for n in range(30)]
    messages = Messages(Values(json=True), documents=True, tombstones=True).schema
    for schema in (messages, changes.SCHEMA):
        given = beside(*documents)
        told = {field.name: pa.array(given.get(field.name, [None] * 30), field.type) for field in schema}
        columns, key = study_rows("clicks", pa.table(told, schema=schema), "web.clicks")
        assert [(c.name, c.source, c.type) for c in columns] == [
            ("event_id", "$.event_id", "string"),
            ("user_id", "$.user.id", "integer"),
        ]
        assert key.columns == ("event_id",)


def test_messages_that_are_no_objects_do_not_hide_the_others() -> None:
    given = beside('{"id": 1}', "[1]", '{"id": 2}', None)
    columns, key = study_rows("clicks", pa.table(given | {"message_key": ["a", "b", "c", "d"]}), "web.clicks")
    assert [(c.name, c.required) for c in columns] == [("id", False)]
    assert (key.columns, "2 rows lack it" in key.evidence) == ((), True)


def test_documents_without_fields_stay_a_column_where_others_are_beside_them() -> None:
    columns, _ = study_rows("clicks", pa.table(beside("1", "2") | {"message_key": ["a", "b"]}), "web.clicks")
    assert [c.name for c in columns] == ["document", "message_key"]
    with pytest.raises(ConfigError, match="have no fields"):
        study_rows("clicks", pa.table(beside("1", "2")), "web.clicks")


def test_a_column_of_a_table_that_is_called_document_is_a_column() -> None:
    columns, _ = study_rows("papers", pa.table(beside('{"a": 1}', '{"a": 2}') | {"id": [1, 2]}), "shop.papers")
    assert [c.name for c in columns] == ["document", "id"]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    rows = pa.table(
        {"id": [1, 2], "zip": ["01", "02"], "price": pa.array([1, None], pa.decimal128(9, 2)), "l": [[1], [2]]}
    )
    pq.write_table(rows, tmp_path / "p.parquet")
    found = study(find_streams(str(tmp_path / "p.parquet"))[0])
    assert [(c.type, c.physical, c.required) for c in found.columns] == [
        ("integer", None, True),
        ("string", None, True),
        ("number", "decimal(9,2)", False),
        ("array", None, True),
    ]


# The project.


def test_a_drafted_project_has_no_problems(tmp_path: Path) -> None:
    odd = ['1,"say ""hi""",31.12.2026,n/a,yes', "2,b: #c,01.01.2026,1.5,no", "3,,02.01.2026,2.5,no"]
    csv(tmp_path / "in" / "order.csv", "Order ID,group,When,Amount €,select", odd)
    tables = [study(stream) for stream in find_streams(str(tmp_path / "in" / "*.csv"))]
    written = write_draft(tables, tmp_path / "gold")
    assert all(path.is_file() for path in written)
    assert check_project(tmp_path / "gold") == []
    project = load_project(tmp_path / "gold")
    assert project.name == "gold_project"
    contract = project.contracts["order"]
    assert contract.key == ("order_id",)
    assert [(c.name, c.type, c.source) for c in contract.columns] == [
        ("order_id", "integer", "Order ID"),
        ("group", "string", "group"),
        ("when", "date", "When"),
        ("amount", "number", "Amount €") if contract.columns[3].type == "number" else ("amount", "decimal", "Amount €"),
        ("select", "boolean", "select"),
    ]
    assert contract.columns[3].null_markers == ("n/a",)
    model = (tmp_path / "gold" / "gold" / "models" / "stg" / "stg_order.sql").read_text(encoding="utf-8")
    assert '"group"' in model
    assert "source('silver', 'order')" in model


def test_files_inside_the_project_are_named_by_relative_paths(tmp_path: Path) -> None:
    csv(tmp_path / "data" / "orders.csv", "order_id,x", ["1,2"])
    write_draft([study(stream) for stream in find_streams(str(tmp_path / "data"))], tmp_path)
    assert 'path: "data/orders.csv"' in (tmp_path / "catchment.yaml").read_text(encoding="utf-8")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    csv(tmp_path / "data" / "orders.csv", "order_id,x", ["1,2"])
    tables = [study(stream) for stream in find_streams(str(tmp_path / "data"))]
    mine = tmp_path / "contracts" / "orders.odcs.yaml"
    mine.parent.mkdir()
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"contracts/orders\.odcs\.yaml"):
        write_draft(tables, tmp_path)
    assert mine.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "catchment.yaml").exists()


@pytest.mark.parametrize(
    ("folder", "name"), [("My Data", "my_data"), ("2026", "n_2026"), ("silver", "silver_project"), ("_", "project")]
)
def test_a_project_is_named_after_its_folder(folder: str, name: str, tmp_path: Path) -> None:
    assert project_name(tmp_path / folder) == name
