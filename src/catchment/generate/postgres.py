"""The shop in a PostgreSQL database: users, products and transactions as an application keeps them.

A row says what is so now. `user_versions`, which a trigger keeps, says what was: who asks the database now and then
would miss what changed twice in between. What a contract refuses, the types and checks of these tables refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import adbc_driver_manager
from adbc_driver_postgresql import dbapi

from catchment.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from catchment.generate.shop import Shop

# Column -> type and what must hold of it; a table's name -> its columns, and what must hold of a row.
_USERS = {
    "user_id": "text PRIMARY KEY",
    "email": "text NOT NULL UNIQUE",
    "first_name": "text NOT NULL",
    "last_name": "text NOT NULL",
    "birth_date": "date",
    "registered_at": "timestamptz NOT NULL",
    "country": "text NOT NULL CHECK (country ~ '^[A-Z]{2}$')",
    "city": "text",
    "tier": "text NOT NULL CHECK (tier IN ('bronze', 'silver', 'gold', 'platinum'))",
    "is_active": "boolean NOT NULL",
    "last_login_at": "timestamptz CHECK (last_login_at >= registered_at)",
    "created_at": "timestamptz NOT NULL",
    "updated_at": "timestamptz NOT NULL CHECK (updated_at >= created_at)",
}
_PRODUCTS = {
    "product_id": "text PRIMARY KEY",
    "name": "text NOT NULL",
    "category": "text NOT NULL",
    "subcategory": "text NOT NULL",
    "price": "numeric(10,2) NOT NULL CHECK (price > 0)",
    "cost": "numeric(10,2) NOT NULL CHECK (cost >= 0)",
    "brand": "text NOT NULL",
    "description": "text",
    "is_active": "boolean NOT NULL",
    "created_at": "timestamptz NOT NULL",
    "updated_at": "timestamptz NOT NULL CHECK (updated_at >= created_at)",
}
# No references to users and products: orders name some that there are not.
TRANSACTIONS = {
    "transaction_id": "text PRIMARY KEY",
    "user_id": "text NOT NULL",
    "product_id": "text NOT NULL",
    "quantity": "integer NOT NULL CHECK (quantity > 0)",
    "unit_price": "numeric(10,2) NOT NULL CHECK (unit_price > 0)",
    "discount": "numeric(10,2) NOT NULL",
    "tax": "numeric(10,2) NOT NULL",
    "total": "numeric(12,2) NOT NULL CHECK (total = unit_price * quantity - discount + tax)",
    "status": "text NOT NULL CHECK (status IN ('pending', 'completed', 'failed', 'refunded'))",
    "payment_method": "text NOT NULL",
    "shipping_address": "text",
    "created_at": "timestamptz NOT NULL",
    "updated_at": "timestamptz NOT NULL CHECK (updated_at >= created_at)",
}
REFUSED = "does it run there, is there such a database, and may this user make tables in it?"

_TABLES = {"users": _USERS, "products": _PRODUCTS, "transactions": TRANSACTIONS}

_VERSIONS = (
    "CREATE TABLE IF NOT EXISTS user_versions (LIKE users, PRIMARY KEY (user_id, updated_at))",
    "CREATE INDEX IF NOT EXISTS user_versions_updated_at ON user_versions (updated_at)",
    """CREATE OR REPLACE FUNCTION keep_user_version() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO user_versions SELECT NEW.* ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$""",
    "DROP TRIGGER IF EXISTS users_keep_version ON users",
    "CREATE TRIGGER users_keep_version AFTER INSERT OR UPDATE ON users"
    " FOR EACH ROW EXECUTE FUNCTION keep_user_version()",
)


def load(url: str, shop: Shop, *, again: bool, tell: Callable[[str, int], None]) -> None:
    """Put the shop into a database, in one transaction; newer rows win over what is there.

    `tell` hears each table and how many rows were brought. Raises ConfigError where a table holds rows, unless
    `again`, and where the database refuses.
    """
    try:
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            for table, columns in _TABLES.items():
                make(cursor, table, columns)
                if not again and _holds(cursor, table):
                    message = f"table {table} holds rows already"
                    raise ConfigError(message, hint="--again adds to them; newer rows win")
            for statement in _VERSIONS:
                cursor.execute(statement)
            for table, columns in _TABLES.items():
                tell(table, _bring(connection, cursor, shop, table, columns))
            connection.commit()
    except adbc_driver_manager.Error as error:
        message = f"the database refused: {str(error).splitlines()[0]}"
        raise ConfigError(message, hint=REFUSED) from None


def is_there(url: str) -> bool:
    """Whether the database has users. Raises ConfigError where it refuses."""
    try:
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('users') IS NOT NULL")
            return bool(cursor.fetchone()[0]) and _holds(cursor, "users")
    except adbc_driver_manager.Error as error:
        message = f"the database refused: {str(error).splitlines()[0]}"
        raise ConfigError(message, hint=REFUSED) from None


def make(cursor: dbapi.Cursor, table: str, columns: dict[str, str]) -> None:
    """A table and the index that readers by time need, where they are not there."""
    listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    cursor.execute(f"CREATE TABLE IF NOT EXISTS {table} ({listed})")
    cursor.execute(f"CREATE INDEX IF NOT EXISTS {table}_updated_at ON {table} (updated_at)")


def _holds(cursor: dbapi.Cursor, table: str) -> bool:
    cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {table})")
    return bool(cursor.fetchone()[0])


def _bring(connection: dbapi.Connection, cursor: dbapi.Cursor, shop: Shop, table: str, columns: dict[str, str]) -> int:
    """Rows go in day by day, as they came: a row that changed on two days has a version for each."""
    rows, key = shop.rows(table), next(iter(columns))
    cursor.adbc_ingest("arriving", rows, mode="create", temporary=True)
    cast = ", ".join(f"{name}::{kind.split(' ')[0]}" for name, kind in columns.items())
    others = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns if name != key)
    days = sorted({int(day) for day in rows.column("_day").to_pylist()})
    for day in days:
        cursor.execute(
            f"INSERT INTO {table} SELECT DISTINCT ON ({key}) {cast} FROM arriving WHERE _day = '{day}'"
            f" ORDER BY {key}, updated_at::timestamptz DESC"
            f" ON CONFLICT ({key}) DO UPDATE SET {others} WHERE EXCLUDED.updated_at > {table}.updated_at"
        )
    cursor.execute("DROP TABLE arriving")
    count: int = rows.num_rows
    return count
