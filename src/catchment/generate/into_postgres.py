"""Orders of an endless shop in a PostgreSQL database: placed, settled and sent back, as an application does it.

Rows are inserted and updated one change after the other, so that a log of changes has each. How far it has come stands
in table `generated`, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import adbc_driver_manager
from adbc_driver_postgresql import dbapi

from catchment.errors import RetryableError
from catchment.generate.changing import STATUSES
from catchment.generate.postgres import REFUSED, TRANSACTIONS, make
from catchment.generate.sequence import Sent

if TYPE_CHECKING:
    from catchment.generate.endless import Endless

_PROGRESS = "CREATE TABLE IF NOT EXISTS generated (seed bigint PRIMARY KEY, next_ordinal bigint NOT NULL)"
_ARRIVING = "arriving_changes"


@dataclass
class IntoPostgres:
    """Writes changes of orders to table `transactions`, which is made where it is not there."""

    url: str
    shop: Endless
    _connection: dbapi.Connection | None = None

    def next(self) -> int | None:
        """The ordinal after the last one whose changes are there; None where no shop of this seed was.

        Raises RetryableError where the database refuses, as `send` does.
        """
        with self._told() as cursor:
            cursor.execute(f"SELECT next_ordinal FROM generated WHERE seed = {self.shop.seed}")
            found = cursor.fetchone()
        return None if found is None else int(found[0])

    def mend(self, upto: int) -> Sent:
        """Send what is lacking: of a transaction all or nothing is there."""
        there = self.next()
        return Sent() if there is None or there >= upto else self.send(there, upto)

    def send(self, first: int, end: int) -> Sent:
        """The changes from one ordinal to before another, and that they are there, in one transaction.

        An order that has come further already stays as it is.
        """
        changes = self.shop.orders.changes(first, end)
        with self._told() as cursor:
            if changes.rows.num_rows:
                rows = changes.rows.append_column("version", [changes.version])
                cursor.adbc_ingest(_ARRIVING, rows, mode="create", temporary=True)
                for version in sorted(set(changes.version.tolist())):
                    cursor.execute(_taken(version))
                cursor.execute(f"DROP TABLE {_ARRIVING}")
            cursor.execute(
                f"INSERT INTO generated VALUES ({self.shop.seed}, {end})"
                " ON CONFLICT (seed) DO UPDATE SET next_ordinal = EXCLUDED.next_ordinal"
            )
        return Sent(0, changes.rows.num_rows)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _told(self) -> Iterator[dbapi.Cursor]:
        """A transaction; a connection that failed is left, and the next one asks for another."""
        try:
            connection = self._connection or self._connected()
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        except adbc_driver_manager.Error as error:
            with suppress(adbc_driver_manager.Error):
                self.close()
            message = f"the database refused: {str(error).splitlines()[0]}"
            raise RetryableError(message, hint=REFUSED) from None

    def _connected(self) -> dbapi.Connection:
        self._connection = dbapi.connect(self.url)
        with self._connection.cursor() as cursor:
            make(cursor, "transactions", TRANSACTIONS)
            cursor.execute(_PROGRESS)
        self._connection.commit()
        return self._connection


def _taken(version: int) -> str:
    """Of two changes of an order the earlier is one statement and the later the next."""
    key, *others = TRANSACTIONS
    cast = ", ".join(f"{name}::{kind.split(' ')[0]}" for name, kind in TRANSACTIONS.items())
    listed = ", ".join(f"{name} = EXCLUDED.{name}" for name in others)
    # At a quick pace an order is placed and settled within one second.
    came, had = (f"array_position(ARRAY{list(STATUSES)}, {table}.status)" for table in ("EXCLUDED", "transactions"))
    return (
        f"INSERT INTO transactions ({', '.join(TRANSACTIONS)}) SELECT {cast} FROM {_ARRIVING} WHERE version = {version}"
        f" ON CONFLICT ({key}) DO UPDATE SET {listed} WHERE {came} > {had}"
    )
