"""Debezium, applied from a project: rows and changes of a table land, over a kill of Connect; silver is the table."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
from tests.services.connect.server import Connect
from tests.services.kafka.server import Kafka
from tests.services.postgres.server import PASSWORD, Postgres

from catchment.cli import main
from catchment.opened import OpenProject
from catchment.project import load_project

_PROJECT = """\
name: shop
sources:
  shop_db:
    type: topic
    connector:
      type: debezium-postgres
      prefix: shop
      host: 127.0.0.1
      port: "{port}"
      database: postgres
      user: postgres
      password: "${{file:password.txt}}"
    streams:
      users: {{topic: shop.public.users, format: debezium, via: connect}}
silver:
  users: {{from: shop_db.users, mode: merge}}
targets:
  cluster:
    broker: {{type: kafka, servers: "{kafka}"}}
    connect: {{url: "{url}"}}
"""
_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: users
version: 1.0.0
status: active
schema:
  - name: users
    properties:
      - {name: id, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: name, logicalType: string}
      - {name: born, logicalType: date}
      - {name: credit, logicalType: number, physicalType: "decimal(12,2)"}
"""


def test_a_table_is_followed(project: Path, kafka: Kafka, connect: Connect, postgres: Postgres) -> None:
    (project / "contracts").mkdir()
    (project / "contracts/users.odcs.yaml").write_text(_CONTRACT)
    (project / "password.txt").write_text(PASSWORD)
    (project / "catchment.yaml").write_text(_PROJECT.format(port=postgres.port, kafka=kafka.address, url=connect.url))
    with psycopg.connect(postgres.url(), autocommit=True) as opened:
        opened.execute("CREATE TABLE users (id int PRIMARY KEY, name text, born date, credit numeric(12,2))")
        opened.execute(
            "INSERT INTO users SELECT n, 'user ' || n, date '1990-01-01' + n, n / 4.0 FROM generate_series(1, 200) n"
        )
        assert main(["--project", str(project), "connect", "apply", "--yes"]) == 0
        opened.execute("UPDATE users SET name = 'changed' WHERE id % 10 = 0")
        connect.server.restart()
        opened.execute("DELETE FROM users WHERE id > 190")
        opened.execute("INSERT INTO users VALUES (1000, 'last', '2000-02-29', 12.5)")
        wanted = opened.execute("SELECT id, name, born, credit FROM users ORDER BY id").fetchall()
        shop, until = OpenProject(load_project(project)), time.monotonic() + 90
        while True:
            outcome = shop.run()
            found = [] if outcome == "failed" else _rows(shop)
            if found == wanted or time.monotonic() > until:
                break
            time.sleep(1)
        assert found == wanted
        assert main(["--project", str(project), "connect", "status"]) == 0
        # A slot that nobody reads keeps the server's log.
        connect.ask("/connectors/shop-shop_db", method="DELETE")


def _rows(shop: OpenProject) -> list[tuple[object, ...]]:
    try:
        rows = shop.query("SELECT id, name, born, credit FROM silver.users ORDER BY id").read_all()
    except Exception:  # nothing has landed yet
        return []
    return [tuple(row.values()) for row in rows.to_pylist()]
