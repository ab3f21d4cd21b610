"""Contracts: what is read out of an ODCS document, and every way in which one can be wrong, with line and cure."""

from __future__ import annotations

import json
import textwrap
import time
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catchment.check import _problems, _schema, _validator
from catchment.contract import Contract, Freshness, Reference, RowRule, SetRule, strptime_format
from catchment.errors import Problem
from catchment.reading.odcs import keys, patterns
from catchment.reading.odcs.document import load_contract

HEAD = """\
apiVersion: v3.2.0
kind: DataContract
id: orders
version: 1.0.0
"""


def document(properties: str, *, table: str = "", after: str = "", head: str = HEAD) -> str:
    """A contract of table `orders`; `table` stands beside properties, `after` at the top level."""
    body = f"{head}schema:\n  - name: orders\n"
    if table:
        body += textwrap.indent(textwrap.dedent(table).strip("\n"), "    ") + "\n"
    body += "    properties:\n" + textwrap.indent(textwrap.dedent(properties).strip("\n"), "      ") + "\n"
    return body + textwrap.dedent(after)


def load(text: str) -> tuple[Contract | None, list[Problem]]:
    return load_contract("contracts/orders.odcs.yaml", text, table="orders")


def good(text: str) -> Contract:
    contract, problems = load(text)
    assert contract is not None, problems
    assert problems == []
    return contract


def column(properties: str, **also: str) -> Any:
    return good(document(properties, **also)).columns[0]


def test_a_whole_contract_becomes_one_value() -> None:
    contract = good(
        document(
            """
            - name: order_id
              logicalType: integer
              primaryKey: true
              primaryKeyPosition: 2
            - name: shop
              logicalType: string
              primaryKey: true
              primaryKeyPosition: 1
            - name: total
              logicalType: number
              physicalType: DECIMAL(12, 2)
              transformSourceObjects: [Total (EUR)]
              description: what was paid
              classification: internal
            - name: city
              logicalType: string
              transformSourceObjects: ["[$.customer.address.city]"]
            - name: ordered_at
              logicalType: timestamp
              logicalTypeOptions: {format: "yyyy-MM-dd'T'HH:mm:ssX", defaultTimezone: Europe/Berlin}
              customProperties:
                - {property: formats, value: ["dd/MM/yyyy HH:mm"]}
                - {property: nullMarkers, value: ["n/a", "-", 0]}
            """,
            table="""
            description: one row is one order
            customProperties: [{property: nullMarkers, value: ["?"]}]
            quality:
              - type: custom
                engine: catchment
                name: paid
                description: total is not negative
                implementation: {condition: "total >= 0"}
              - {type: custom, engine: catchment, implementation: {rejectedShare: 0.05}}
              - {metric: rowCount, mustBeBetween: [1, 1000]}
              - {type: text, description: for people}
            """,
            after="slaProperties: [{property: freshness, value: 2, unit: h, element: orders.ordered_at}]\n",
        )
    )
    assert contract.key == ("shop", "order_id")
    assert contract.description == "one row is one order"
    assert contract.row_rules == (RowRule("paid", "total >= 0", "total is not negative"),)
    share, rows = contract.set_rules
    assert (share.measure, share.maximum) == ("rejected_share", 0.05)
    assert (rows.measure, rows.minimum, rows.maximum) == ("rows", 1, 1000)
    assert contract.freshness == Freshness("ordered_at", 7200)
    by_name = {found.name: found for found in contract.columns}
    assert (by_name["total"].type, by_name["total"].precision, by_name["total"].scale) == ("decimal", 12, 2)
    assert by_name["total"].source == "Total (EUR)"
    assert by_name["total"].classification == "internal"
    assert by_name["city"].source == "$.customer.address.city"
    assert by_name["city"].null_markers == ("?",)
    assert by_name["ordered_at"].formats == ("yyyy-MM-dd'T'HH:mm:ssX", "dd/MM/yyyy HH:mm")
    assert by_name["ordered_at"].null_markers == ("n/a", "-", "0")
    assert by_name["ordered_at"].timezone == "Europe/Berlin"
    assert by_name["order_id"].required
    assert by_name["shop"].required


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("logicalType: string\n  logicalTypeOptions: {minLength: 1, maxLength: 9}", {"min_length": 1, "max_length": 9}),
        ("logicalType: string\n  logicalTypeOptions: {pattern: '^a+$'}", {"pattern": "^a+$"}),
        ("logicalType: string\n  logicalTypeOptions: {format: uuid}", {"pattern": patterns.FORMATS["uuid"]}),
        ("logicalType: integer\n  logicalTypeOptions: {minimum: 0, multipleOf: 5}", {"minimum": 0, "multiple_of": 5}),
        ("logicalType: integer\n  logicalTypeOptions: {format: u8}", {"minimum": 0, "maximum": 255}),
        ("logicalType: integer\n  logicalTypeOptions: {format: i8, maximum: 9}", {"minimum": -128, "maximum": 9}),
        (
            "logicalType: number\n  logicalTypeOptions: {exclusiveMinimum: 0, exclusiveMaximum: 1.5}",
            {"exclusive_minimum": 0, "exclusive_maximum": 1.5},
        ),
        ("logicalType: date\n  logicalTypeOptions: {minimum: 2020-01-31}", {"minimum": "2020-01-31"}),
        ("logicalType: string\n  enum: [{value: NO}, {value: 01}, {value: true}]", {"enum": ("NO", "01", "true")}),
        ("logicalType: integer\n  enum: [{value: 1}, {value: 2.0}]", {"enum": (1, 2)}),
        ("logicalType: string\n  transformLogic: made in refine", {"derived": True}),
        ("logicalType: string\n  quality: [{metric: nullValues, mustBe: 0}]", {"required": True}),
        ("logicalType: string\n  quality: [{metric: nullValues, mustBeLessThan: 1}]", {"required": True}),
        (
            "logicalType: string\n  quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [a, NO]}}]",
            {"enum": ("a", "NO")},
        ),
        (
            "logicalType: string\n  quality: [{metric: invalidValues, mustBe: 0, arguments: {pattern: '^x'}}]",
            {"pattern": "^x"},
        ),
    ],
)
def test_what_a_property_says_becomes_an_attribute_of_its_column(options: str, expected: dict[str, Any]) -> None:
    found = column(f"- name: a\n  {options}")
    assert {name: getattr(found, name) for name in expected} == expected


def test_uniqueness_is_a_rule_over_a_load() -> None:
    contract = good(document("- {name: a, logicalType: string, unique: true}"))
    assert contract.columns[0].unique
    (rule,) = contract.set_rules
    assert (rule.measure, rule.columns, rule.maximum) == ("duplicates", ("a",), 0)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{metric: nullValues, mustBeLessOrEqualTo: 3}", SetRule("nulls of a", "nulls", "", ("a",), None, 3)),
        (
            "{metric: nullValues, mustBeLessOrEqualTo: 3, unit: percent, name: few, description: some}",
            SetRule("few", "nulls", "some", ("a",), None, 3, "percent"),
        ),
        (
            "{metric: duplicateValues, mustBeLessThan: 10}",
            SetRule("duplicates of a", "duplicates", "", ("a",), None, 9),
        ),
        ("{metric: rowCount, mustBeGreaterThan: 0}", SetRule("rows", "rows", "", (), 1)),
        ("{rule: rowCount, mustBe: 7}", SetRule("rows", "rows", "", (), 7, 7)),
    ],
)
def test_library_metrics_become_rules_over_a_load(rule: str, expected: SetRule) -> None:
    (found,) = good(document(f"- {{name: a, logicalType: string, quality: [{rule}]}}")).set_rules
    told = found if expected.message else SetRule(**{**vars(found), "message": ""})
    assert told == expected
    assert found.message


def test_words_that_mean_missing_are_refused_row_by_row() -> None:
    rule = "{metric: missingValues, mustBe: 0, arguments: {missingValues: [null, '', N/A]}}"
    contract = good(document(f"- {{name: a, logicalType: string, quality: [{rule}]}}"))
    assert contract.columns[0].required
    (found,) = contract.row_rules
    assert duckdb.sql(f"""select {found.condition} from (values ('N/A'), ('x'), ('')) as t(a)""").fetchall() == [
        (False,),
        (True,),
        (False,),
    ]


def test_a_format_beside_a_pattern_is_a_rule_of_its_own() -> None:
    contract = good(document("- {name: a, logicalType: string, logicalTypeOptions: {pattern: '^x', format: email}}"))
    assert contract.columns[0].pattern == "^x"
    (rule,) = contract.row_rules
    rows = duckdb.sql(f"select {rule.condition} from (values ('x@y.org'), ('x')) as t(a)").fetchall()
    assert rows == [(True,), (False,)]


def test_two_rules_of_one_name_are_told_apart() -> None:
    rule = "{type: custom, engine: catchment, name: r, implementation: {condition: a > %d}}"
    contract = good(document(f"- {{name: a, logicalType: integer, quality: [{rule % 1}, {rule % 2}]}}"))
    assert [found.name for found in contract.row_rules] == ["r", "r 2"]
    assert {found.column for found in contract.row_rules} == {"a"}


@pytest.mark.parametrize("version", ["v3.0.0", "v3.0.2", "v3.1.0", "v3.2.0"])
def test_every_third_version_of_the_standard_is_read(version: str) -> None:
    assert good(document("- {name: a, logicalType: string}", head=HEAD.replace("v3.2.0", version))).id == "orders"


def test_a_date_with_a_timestamp_type_of_3_0_is_a_timestamp() -> None:
    properties = "- {name: a, logicalType: date, physicalType: timestamp}"
    assert column(properties, head=HEAD.replace("v3.2.0", "v3.0.2")).type == "timestamp"
    assert column(properties).type == "date"


def test_the_object_named_as_the_table_is_taken() -> None:
    text = HEAD + (
        "schema:\n"
        "  - {name: users, properties: [{name: u, logicalType: string}]}\n"
        "  - {name: orders, properties: [{name: o, logicalType: string}]}\n"
    )
    assert good(text).columns[0].name == "o"


def test_the_only_object_is_taken_whatever_its_name() -> None:
    text = HEAD + "schema: [{name: tbl_orders_v2, properties: [{name: o, logicalType: string}]}]\n"
    assert good(text).table == "orders"


def test_anchors_and_merge_keys_are_read() -> None:
    contract = good(document("- &a {name: a, logicalType: number, required: true}\n- {<<: *a, name: b}"))
    assert [(found.name, found.required) for found in contract.columns] == [("a", True), ("b", True)]


A = "- {name: a, logicalType: string}"


def corpus(file: str) -> dict[str, tuple[str, str, str]]:
    """Cases of a corpus file by name: a document, a part of the message, a part of the cure."""
    text = (Path(__file__).parent / "corpus" / file).read_text("utf-8").replace("HEAD\n", HEAD)
    cases = [case.split("\n", 1) for case in text.split("\n=== ")[1:]]
    split = [(title.split(" | "), document) for title, document in cases]
    return {name: (document, message, cure) for (name, message, cure), document in split}


BAD = {
    "empty file": ("", "empty", "apiVersion"),
    "tab": ("id: x\n\tname: y #!", "tab", "spaces"),
    "control character": ("id: \x00 #!", "does not allow", "remove it"),
    **corpus("contracts.txt"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_has_its_line_its_cause_and_its_cure(case: str) -> None:
    text, message, cure = BAD[case]
    line = next((number for number, row in enumerate(text.split("\n"), start=1) if "#!" in row), None)
    contract, problems = load(text)
    assert contract is None
    errors = [problem for problem in problems if problem.severity == "error"]
    fitting = [problem for problem in errors if message in problem.message]
    assert fitting, [str(problem) for problem in errors]
    problem = fitting[0]
    assert problem.line == line
    assert problem.cure is not None
    assert cure in problem.cure
    assert problem.file == "contracts/orders.odcs.yaml"


def test_every_mistake_is_told_at_once() -> None:
    text = document(
        "- {name: a, logicalType: text}\n- {name: b, logicalType: string, unknwn: 1}\n- {name: _c, logicalType: string}"
    )
    _, problems = load(text)
    assert [problem.line for problem in problems] == [8, 9, 10]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            document("- {name: a, logicalType: string, relationships: [{to: schema/users_id/properties/id}]}"),
            "names a property by ids",
        ),
        (document("- {name: a, logicalType: string, relationships: [{to: crm.yaml#schema/u/properties/i}]}"), "by ids"),
        (document("- {name: a, logicalType: string, partitioned: true}"), "partitioned"),
        (document("- {name: a, logicalType: string, encryptedName: b}"), "encryptedName"),
        (document("- {name: a, logicalType: object, properties: []}"), "properties"),
        (document("- {name: a, logicalType: array, logicalTypeOptions: {minItems: 1}}"), "minItems"),
        (document("- {name: a, logicalType: string, logicalTypeOptions: {format: binary}}"), "format `binary`"),
        (document("- {name: a, logicalType: integer, logicalTypeOptions: {format: i128}}"), "i128"),
        (document("- {name: a, logicalType: number, physicalType: decimal}"), "double"),
        (document("- {name: a, logicalType: string, transformSourceObjects: [a, b]}"), "only the first"),
        (
            document("- {name: a, logicalType: string, customProperties: [{property: nullMarker, value: x}]}"),
            "nullMarker",
        ),
        (document(A, table="quality: [{type: sql, query: select 1, mustBe: 0}]"), "SQL query"),
        (document(A, table="quality: [{type: custom, engine: soda, implementation: x}]"), "engine `soda`"),
        (document(A, table="quality: [{metric: rowCount, mustNotBe: 0}]"), "mustNotBe"),
        (document(A, table="quality: [{metric: rowCount, mustBe: 1, schedule: x}]"), "schedule"),
        (document(A, table="quality: [{metric: rowCount, mustBe: 1, severity: fatal}]"), "severity `fatal`"),
        (document(A, after="roles: [{role: reader}]\n"), "roles"),
        (document(A, after="slaProperties: [{property: retention, value: 1, unit: y}]\n"), "retention"),
    ],
)
def test_what_is_not_acted_on_yet_is_a_warning(text: str, message: str) -> None:
    contract, problems = load(text)
    assert contract is not None
    (problem,) = problems
    assert problem.severity == "warning"
    assert message in problem.message
    assert problem.line is not None


@pytest.mark.parametrize(("name", "cure"), [('a"b', "a_b"), ("a b;", "a_b"), ("a`\t`b", "a_b"), ('"', "column")])
def test_the_cure_of_a_name_that_no_table_takes_is_a_name_that_it_takes(name: str, cure: str) -> None:
    _, (problem,) = load(document(f"- {{name: {json.dumps(name)}, logicalType: string}}"))
    assert "no table format takes" in problem.message
    assert f"name it `{cure}` and" in str(problem.cure)
    good(document(f"- {{name: {cure}, logicalType: string}}"))


B = "- {name: b, logicalType: integer}"


def test_a_property_refers_to_a_column_of_another_table() -> None:
    contract = good(
        document("- {name: a, logicalType: string, relationships: [{type: foreignKey, to: users.user_id}]}")
    )
    assert contract.references == (Reference(("a",), "users", ("user_id",)),)
    assert contract.definition()["references"] == [[["a"], "users", ["user_id"]]]


def test_a_table_refers_by_several_columns() -> None:
    both = "relationships: [{from: [orders.a, orders.b], to: [lines.x, lines.y]}]"
    contract = good(document(f"{A}\n{B}", table=both))
    assert contract.references == (Reference(("a", "b"), "lines", ("x", "y")),)


def test_a_table_refers_by_one_column_and_what_is_said_twice_is_one() -> None:
    twice = "- {name: a, logicalType: string, relationships: [{to: users.id}]}"
    contract = good(document(twice, table="relationships: [{from: orders.a, to: users.id, id: fk_1}]"))
    assert contract.references == (Reference(("a",), "users", ("id",)),)


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        ("{metric: rowCount, mustBeGreaterThan: 0, severity: error}", "stop"),
        ("{metric: rowCount, mustBeGreaterThan: 0, severity: warning}", "warn"),
        ("{metric: rowCount, mustBeGreaterThan: 0}", "warn"),
        ("{metric: duplicateValues, mustBe: 0, arguments: {properties: [a]}, severity: error}", "stop"),
        (
            "{type: custom, engine: catchment, implementation: {rejectedShare: 0.05}, severity: error}",
            "stop",
        ),
        ("{type: custom, engine: catchment, implementation: {rejectedShare: 0.05}, severity: info}", "warn"),
    ],
)
def test_severity_error_stops_and_any_other_warns(rule: str, severity: str) -> None:
    (found,) = good(document(A, table=f"quality: [{rule}]")).set_rules
    assert found.severity == severity


def test_uniqueness_of_a_column_can_stop_too() -> None:
    (found,) = good(
        document("- {name: a, logicalType: string, quality: [{metric: duplicateValues, mustBe: 0, severity: error}]}")
    ).set_rules
    assert (found.measure, found.columns, found.maximum, found.severity) == ("duplicates", ("a",), 0, "stop")
    (found,) = good(
        document(
            "- {name: a, logicalType: string, quality: [{metric: nullValues, mustBeLessThan: 5, severity: error}]}"
        )
    ).set_rules
    assert (found.measure, found.maximum, found.severity) == ("nulls", 4, "stop")


def test_the_definition_holds_what_decides_about_rows_and_no_words() -> None:
    plain = "- {name: b, logicalType: string}\n- {name: a, logicalType: integer, primaryKey: true}"
    wordy = (
        "- {name: a, logicalType: integer, primaryKey: true, description: words, classification: secret}\n"
        "- {name: b, logicalType: string, tags: [x], businessName: Bee}"
    )
    first = good(document(plain))
    second = good(document(wordy, table="description: x", head=HEAD.replace("1.0.0", "1.0.1")))
    assert json.dumps(first.definition()) == json.dumps(second.definition())


@pytest.mark.parametrize(
    "changed",
    [
        "- {name: a, logicalType: string, required: true}",
        "- {name: a, logicalType: string, enum: [{value: x}]}",
        "- {name: a, logicalType: string, logicalTypeOptions: {pattern: x}}",
        "- {name: a, logicalType: integer}",
        "- {name: a, logicalType: string, primaryKey: true}",
        "- {name: a, logicalType: string, transformSourceObjects: [b]}",
        "- {name: a, logicalType: string}\n- {name: b, logicalType: string}",
        "- {name: a, logicalType: string, quality: [{type: custom, engine: catchment,"
        " implementation: {condition: a > ''}}]}",
        "- {name: a, logicalType: string, customProperties: [{property: nullMarkers, value: [x]}]}",
    ],
)
def test_what_changes_rows_changes_the_definition(changed: str) -> None:
    assert good(document(changed)).definition() != good(document(A)).definition()


def test_the_order_of_an_enum_is_no_definition() -> None:
    one = good(document("- {name: a, logicalType: string, enum: [{value: x}, {value: y}]}"))
    other = good(document("- {name: a, logicalType: string, enum: [{value: y}, {value: x}]}"))
    assert one.definition() == other.definition()


@pytest.mark.parametrize(
    ("jdk", "text", "expected"),
    [
        ("yyyy-MM-dd'T'HH:mm:ssX", "2026-11-02T03:04:05+02:00", datetime(2026, 11, 2, 1, 4, 5, tzinfo=UTC)),
        ("dd/MM/yyyy", "02/11/2026", datetime(2026, 11, 2, tzinfo=UTC)),
        ("d.M.yyyy H:mm", "2.1.2026 8:15", datetime(2026, 1, 2, 8, 15, tzinfo=UTC)),
        ("yyyy-MM-dd HH:mm:ss.SSS", "2026-11-02 03:04:05.123", datetime(2026, 11, 2, 3, 4, 5, 123000, tzinfo=UTC)),
        ("MMM d yyyy hh:mm a", "Nov 2 2026 03:04 PM", datetime(2026, 11, 2, 15, 4, tzinfo=UTC)),
        ("EEE, d MMMM yyyy", "Mon, 2 November 2026", datetime(2026, 11, 2, tzinfo=UTC)),
        ("yyyyMMdd", "20261102", datetime(2026, 11, 2, tzinfo=UTC)),
        ("dd/MM/yy 'o''clock' HH", "02/11/26 o'clock 07", datetime(2026, 11, 2, 7, tzinfo=UTC)),
        ("'100%' yyyy", "100% 2026", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_jdk_pattern_reads_in_duckdb_what_it_reads_in_java(jdk: str, text: str, expected: datetime) -> None:
    row = duckdb.execute("select epoch_us(strptime(?, ?)::timestamp)", [text, strptime_format(jdk)]).fetchone()
    assert row == (round(expected.timestamp() * 1_000_000),)


@pytest.mark.parametrize("jdk", ["yyyy-QQ", "yyyy[-MM]", "'open", "hh:mm", "--", "", "kk", "yyyy-MM-dd{x}", "Yw"])
def test_a_jdk_pattern_that_is_not_supported_is_refused(jdk: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        strptime_format(jdk)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("email", ["a@b.org", "A.b+c@x-y.co.uk"], ["a@b", "@b.org", "a b@c.org", "a@b.org x"]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567", "g23e4567-e89b-12d3-a456-426614174000"]),
        ("uri", ["https://x.org/a?b", "urn:isbn:1"], ["x.org", "http://a b"]),
        ("hostname", ["a.b-c.org", "x"], ["-a.org", "a..b"]),
        ("ipv4", ["127.0.0.1", "255.255.255.255"], ["256.1.1.1", "1.2.3"]),
        ("ipv6", ["::1", "2001:db8::8a2e:370:7334"], ["1", "x::y"]),
    ],
)
def test_formats_of_text_are_checked_by_patterns_that_duckdb_takes(
    name: str, right: list[str], wrong: list[str]
) -> None:
    for text, expected in [*((text, True) for text in right), *((text, False) for text in wrong)]:
        row = duckdb.execute("select regexp_matches(?, ?)", [text, patterns.FORMATS[name]]).fetchone()
        assert row == (expected,), text
    assert patterns.fault(patterns.FORMATS[name]) is None
    assert patterns.FORMAT_WORDS[patterns.FORMATS[name]]


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\p{L}+$",
        r"[[:alpha:]]+",
        r"(?i)abc",
        r"(?P<year>\d{4})",
        r"\+\+",
        r"[+*]+",
        r"a{2,3}",
        r"\x{e9}",
        r"\\1",
        r"a|b\z",
    ],
)
def test_patterns_that_duckdb_takes_are_taken(pattern: str) -> None:
    duckdb.execute("select regexp_matches('x', ?)", [pattern])
    assert patterns.fault(pattern) is None


@pytest.mark.parametrize(
    "pattern", [r"(?=a)", r"(?<!a)b", r"(a)\1", r"[a-z", "(", "*a", r"a\Z", r"a++", "(?>a)", r"(?<year>\d{4})"]
)
def test_patterns_that_duckdb_refuses_are_refused(pattern: str) -> None:
    with pytest.raises(duckdb.Error):
        duckdb.execute("select regexp_matches('x', ?)", [pattern])
    assert patterns.fault(pattern) is not None


def test_the_example_in_the_reference_is_a_contract_of_the_standard() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/contracts.md").read_text("utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    assert good(example).row_rules[0].message == "total is negative"
    assert _problems("x", example.encode(), _validator(_schema())) == []


def test_references_as_we_read_them_are_those_of_the_standard() -> None:
    both = "relationships: [{from: [orders.a, orders.b], to: [lines.x, lines.y]}, {from: orders.a, to: users.id}]"
    own = "- {name: a, logicalType: string, relationships: [{type: foreignKey, to: users.id}]}"
    text = document(f"{own}\n{B}", table=both, head=HEAD + "status: active\n")
    assert len(good(text).references) == 2
    assert _problems("x", text.encode(), _validator(_schema())) == []


def test_the_known_keys_are_those_of_the_standard() -> None:
    from open_data_contract_standard import model

    levels: dict[frozenset[str], Any] = {
        keys.CONTRACT: model.OpenDataContractStandard,
        keys.SCHEMA: model.SchemaObject,
        keys.PROPERTY: model.SchemaProperty,
        keys.QUALITY: model.DataQuality,
        keys.SLA: model.ServiceLevelAgreementProperty,
        keys.ENUM: model.EnumValue,
        keys.RELATIONSHIP: model.Relationship,
        keys.CUSTOM_PROPERTY: model.CustomProperty,
    }
    for known, found in levels.items():
        assert known == {field.alias or name for name, field in found.model_fields.items()}


def test_the_known_options_are_those_of_the_standard() -> None:
    schema = json.loads((resources.files("open_data_contract_standard") / "schema.json").read_text("utf-8"))
    for branch in schema["$defs"]["SchemaBaseProperty"]["allOf"][1:]:
        told = branch["if"].get("anyOf", [branch["if"]])
        for kind in (condition["properties"]["logicalType"]["const"] for condition in told):
            options = branch["then"]["properties"].get("logicalTypeOptions", {}).get("properties", {})
            if kind in keys.OPTIONS:
                assert keys.OPTIONS[kind] == set(options), kind


def test_a_document_of_aliases_of_aliases_is_refused_in_no_time() -> None:
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    started = time.perf_counter()
    contract, problems = load("\n".join(lines))
    assert contract is None
    assert any("aliases" in problem.message for problem in problems)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "text", ["[" * 5000, "{a: " * 5000, "- " * 5000, "a: &a [*a]", "? {a: b}\n: c", "<<: 1", "a: !!binary x"]
)
def test_hostile_yaml_is_a_problem_and_no_crash(text: str) -> None:
    contract, problems = load(text)
    assert contract is None
    assert problems


YAML_PIECES = st.sampled_from(
    [
        "schema:",
        "- name: a",
        "  ",
        "\n",
        "logicalType: string",
        "properties:",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "&a",
        "*a",
        "<<: ",
        "#",
        "quality:",
        "condition: a >",
        "null",
        "1e999",
        "0x1",
        "\t",
        "é",
        "\x07",
        "enum:",
        "!x",
        "|",
        ">",
        HEAD,
        "1" * 50,
        "customProperties:",
        "value: ",
        "slaProperties:",
        "primaryKey: true",
        "...",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(YAML_PIECES, max_size=30).map("".join)))
def test_no_text_raises_and_none_is_lost(text: str) -> None:
    contract, problems = load(text)
    assert (contract is None) == any(problem.severity == "error" for problem in problems)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=6) | st.sampled_from([*keys.PROPERTY][:5]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(sorted(keys.PROPERTY | keys.QUALITY | {"condition", "formats", "missingValues"})),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(keys.PROPERTY)), JSON, max_size=6), JSON, JSON)
def test_no_shape_of_a_document_raises(odd: Any, quality: Any, service: Any) -> None:
    whole = {
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": "x", "version": "1",
        "schema": [
            {"name": "orders", "properties": [{"name": "a", "logicalType": "string", **odd}], "quality": quality}
        ],
        "slaProperties": service,
    }  # fmt: skip
    contract, problems = load(json.dumps(whole))
    assert (contract is None) == any(problem.severity == "error" for problem in problems)
