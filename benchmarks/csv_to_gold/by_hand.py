"""The peer: what a careful engineer writes in DuckDB for this one table, and nothing else.

Four layers: bronze as text, quarantine with every reason, silver de-duplicated and upserted over what is there, gold
aggregated. No progress, no restart, no second run that finds nothing new, no check of what was read.

    python by_hand.py DATA_GLOB OUT_FOLDER MEMORY
"""

import sys
from pathlib import Path

import duckdb

data, out, memory = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
for layer in ("bronze", "quarantine", "silver", "gold", "spill"):
    (out / layer).mkdir(parents=True, exist_ok=True)

con = duckdb.connect(config={"memory_limit": memory, "temp_directory": str(out / "spill")})
con.execute("SET preserve_insertion_order = false; SET TimeZone = 'UTC'")

bronze, silver = out / "bronze/transactions.parquet", out / "silver/transactions.parquet"
con.execute(f"""
    COPY (SELECT *, now() AS loaded_at FROM read_csv('{data}', all_varchar = true, header = true, filename = true))
    TO '{bronze}' (FORMAT parquet, COMPRESSION zstd)
""")

UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
MONEY = ("unit_price", "discount", "tax", "total")
RULES = {
    "transaction_id: required": "transaction_id IS NULL",
    "transaction_id: is not a UUID": f"NOT regexp_matches(transaction_id, '{UUID}')",
    "user_id: required": "user_id IS NULL",
    "user_id: is not a UUID": f"NOT regexp_matches(user_id, '{UUID}')",
    "product_id: required": "product_id IS NULL",
    "quantity: is not an integer": "raw.quantity IS NOT NULL AND quantity IS NULL",
    "quantity: required": "raw.quantity IS NULL",
    "quantity: is out of range": "quantity NOT BETWEEN 1 AND 1000",
    **{f"{c}: is not a number": f"raw.{c} IS NOT NULL AND {c} IS NULL" for c in MONEY},
    **{f"{c}: required": f"raw.{c} IS NULL" for c in MONEY},
    "unit_price: is not more than 0": "unit_price <= 0",
    "discount: is less than 0": "discount < 0",
    "tax: is less than 0": "tax < 0",
    "total: is less than 0": "total < 0",
    "status: required": "status IS NULL",
    "status: is not known": "status NOT IN ('pending', 'completed', 'failed', 'refunded')",
    "payment_method: required": "payment_method IS NULL",
    "payment_method: is not known": "payment_method NOT IN ('credit_card', 'debit_card', 'paypal', 'apple_pay')",
    **{f"{c}: is not a date and time": f"raw.{c} IS NOT NULL AND {c} IS NULL" for c in ("created_at", "updated_at")},
    **{f"{c}: required": f"raw.{c} IS NULL" for c in ("created_at", "updated_at")},
    "total does not add up": "abs(total - (unit_price * quantity - discount + tax)) > 0.01",
    "updated_at is before created_at": "updated_at < created_at",
}


def instant(column: str) -> str:
    formats = ("%Y-%m-%dT%H:%M:%SZ", "%d/%m/%Y %H:%M:%S")
    parsed = ", ".join(f"try_strptime({column}, '{pattern}')" for pattern in formats)
    return f"COALESCE({parsed}) AT TIME ZONE 'UTC' AS {column}"


money = ", ".join(f"TRY_CAST({c} AS DECIMAL(10, 2)) AS {c}" for c in MONEY)
wrong = " OR ".join(f"COALESCE({condition}, FALSE)" for condition in RULES.values())
reasons = ", ".join(f"CASE WHEN {condition} THEN '{words}' END" for words, condition in RULES.items())
con.execute(f"""
    CREATE TEMP TABLE judged AS
    SELECT * EXCLUDE (raw), CASE WHEN {wrong} THEN raw END AS raw,
           CASE WHEN {wrong} THEN list_filter([{reasons}], lambda r: r IS NOT NULL) END AS reasons
    FROM (
        SELECT transaction_id, user_id, product_id, TRY_CAST(quantity AS BIGINT) AS quantity, {money}, status,
               payment_method, shipping_address, {instant("created_at")}, {instant("updated_at")},
               {{'transaction_id': transaction_id, 'user_id': user_id, 'product_id': product_id, 'quantity': quantity,
                 'unit_price': unit_price, 'discount': discount, 'tax': tax, 'total': total, 'status': status,
                 'payment_method': payment_method, 'shipping_address': shipping_address, 'created_at': created_at,
                 'updated_at': updated_at, 'filename': filename}} AS raw
        FROM read_parquet('{bronze}')
    )
""")
con.execute(f"""
    COPY (SELECT to_json(raw)::VARCHAR AS raw, reasons, now() AS judged_at FROM judged WHERE reasons IS NOT NULL)
    TO '{out}/quarantine/transactions.parquet' (FORMAT parquet, COMPRESSION zstd)
""")

columns = "* EXCLUDE (raw, reasons)"
present = f"SELECT * FROM read_parquet('{silver}') UNION ALL BY NAME" if silver.exists() else ""
con.execute(f"""
    COPY (
        SELECT * FROM ({present} SELECT {columns} FROM judged WHERE reasons IS NULL)
        QUALIFY row_number() OVER (PARTITION BY transaction_id ORDER BY updated_at DESC) = 1
    ) TO '{silver}.new' (FORMAT parquet, COMPRESSION zstd)
""")
Path(f"{silver}.new").replace(silver)

con.execute("DROP TABLE judged")
gold = duckdb.connect(str(out / "gold/shop.duckdb"), config={"memory_limit": memory})
gold.execute("SET TimeZone = 'UTC'")
model = (Path(__file__).parent / "daily_sales.sql").read_text()
model = model.replace("{{ source('silver', 'transactions') }}", f"read_parquet('{silver}')")
gold.execute(f"CREATE OR REPLACE TABLE daily_sales AS {model}")
gold.close()
