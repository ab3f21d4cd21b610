"""The sales sheet: one wide export a month, as people keep it in a spreadsheet, with the mistakes of one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from catchment.errors import ConfigError
from catchment.generate.dirt import check_shares, kind_drawn
from catchment.generate.draws import literal
from catchment.generate.manifest import Manifest
from catchment.generate.order_lines import PRIORITIES, RENAMED_IN, SHIP_MODES, make_lines
from catchment.generate.writing import Output, write

if TYPE_CHECKING:
    import duckdb

SALES_START = date(2026, 1, 1)

# A row carries one kind at most.
SALES_KINDS = (
    "duplicates",
    "late",
    "missing_order_ids",
    "missing_product_ids",
    "missing_dates",
    "impossible_dates",
    "shipped_before_ordered",
    "negative_sales",
    "zero_quantities",
    "discounts_in_percent",
    "sheet_errors",
)

# The contract of template `sales` refuses all but these.
SALES_REFUSED = frozenset({*SALES_KINDS, "broken_look_ups"} - {"duplicates", "late"})


@dataclass(frozen=True)
class SalesDirt:
    """The share (0-1) of rows that carry each kind of dirt.

    Raises ConfigError for a share outside 0-1, or where all add up to more than 1.
    """

    duplicates: float = 0.004  # the row stands twice in its file, under one row id
    late: float = 0.004  # the row stands in the file of the month after
    missing_order_ids: float = 0.002
    missing_product_ids: float = 0.002
    missing_dates: float = 0.003  # no order date, or no ship date
    impossible_dates: float = 0.001  # 31 February
    shipped_before_ordered: float = 0.004
    negative_sales: float = 0.002
    zero_quantities: float = 0.002
    discounts_in_percent: float = 0.003  # 20 where 0.20 is meant
    sheet_errors: float = 0.002  # sales are #VALUE!
    broken_look_ups: float = 0.12  # of the file in `inbox/` only: #N/A for sales and profit, and no product id

    def __post_init__(self) -> None:
        check_shares(self, {"sales": SALES_KINDS})

    @classmethod
    def none(cls) -> SalesDirt:
        """Sheets without a spot."""
        return cls(**{rate.name: 0.0 for rate in fields(cls)})


def generate_sales(
    folder: Path,
    *,
    start: date = SALES_START,
    months: int = 9,
    seed: int = 1,
    orders: int = 22_000,
    dirt: SalesDirt = SalesDirt(),
) -> Manifest:
    """Write `data/sales-YYYY-MM.csv` for each month under `folder`, and tell exactly what was written.

    `start` is the first of a month. The month after the last one goes to `inbox/`: as it first arrives, with broken
    look-ups, and in `inbox/corrected/` (the manifest's table `corrected`) as its sender mends it. `orders` are those of
    all months; an order has 2.5 lines on average. The same arguments give the same bytes. Raises ConfigError where a
    file is in the way, and for figures that make no sales.
    """
    import duckdb

    if months < 1 or orders < 1 or start.day != 1:
        message = f"sales need a month that begins on its first day and an order, not {start=!s}, {months=}, {orders=}"
        raise ConfigError(message)
    firsts = [_month(start, number) for number in range(months + 2)]
    names = [f"sales-{first:%Y-%m}.csv" for first in firsts[:-1]]
    arriving = [*(f"data/{name}" for name in names[:-1]), f"inbox/{names[-1]}"]
    with duckdb.connect(":memory:") as connection:
        make_lines(connection, start=start, days=(firsts[-1] - start).days, seed=seed, orders=orders)
        _deal_dirt(connection, dirt, months)
        outputs = (
            Output("sales", "arriving", _columns(), _FROM.format(table="arriving"), arriving),
            Output(
                "corrected",
                "corrected",
                _columns(),
                _FROM.format(table="corrected"),
                [f"inbox/corrected/{name}" for name in names],
            ),
        )
        return write(connection, outputs, folder, refused=SALES_REFUSED)


def _month(start: date, number: int) -> date:
    years, month = divmod(start.month - 1 + number, 12)
    return date(start.year + years, month + 1, 1)


def _deal_dirt(connection: duckdb.DuckDBPyConnection, dirt: SalesDirt, months: int) -> None:
    """Tables `arriving` and `corrected`: numbered rows of the files; the latter has those of `inbox/` only."""
    shares = {kind: float(getattr(dirt, kind)) for kind in SALES_KINDS}
    kind = kind_drawn(shares, "wide(g, 0, 1000000)", guards={"late": f"month < {months}"})
    share = round(dirt.broken_look_ups * 1_000_000)
    broken = f"case when month = {months} and wide(g, 1, 1000000) < {share} then 'broken_look_ups' end"
    connection.execute(_ROWS.format(table="arriving", kind=f"coalesce({kind}, {broken})", only="true"))
    connection.execute(_ROWS.format(table="corrected", kind=kind, only=f"day = {months}"))


def _columns() -> str:
    modes = literal([mode[0] for mode in SHIP_MODES])
    return _COLUMNS.format(modes=modes, priorities=literal(PRIORITIES), renamed_in=RENAMED_IN)


# `day` is the number of the file.
_ROWS = """
create temp table {table} as
with judged as (select *, {kind} as found from sheet),
filed as (select *, case when found = 'late' then month + 1 else month end as day from judged)
select * exclude (found), case when found = 'duplicates' and copy = 0 then null else found end as kind,
    row_number() over (partition by day order by row_id, copy) as line
from filed cross join (values (0), (1)) c(copy) where {only} and (copy = 0 or found = 'duplicates')
"""

_COLUMNS = """
    r.row_id as "Row ID",
    case when r.kind = 'missing_order_ids' then null
         else upper(p.market[1:2]) || '-' || year(r.ordered_on) || '-' || (100000 + r.order_no) end as "Order ID",
    case when r.kind = 'missing_dates' and pick(r.g, 4, 2) = 0 then null
         when r.kind = 'impossible_dates' then '31-02-' || year(r.ordered_on)
         else strftime(r.ordered_on, '%d-%m-%Y') end as "Order Date",
    case when r.kind = 'missing_dates' and pick(r.g, 4, 2) = 1 then null
         when r.kind = 'shipped_before_ordered' then strftime(r.ordered_on - 1 - pick(r.g, 5, 20)::integer, '%d-%m-%Y')
         else strftime(r.ordered_on + r.takes::integer, '%d-%m-%Y') end as "Ship Date",
    {modes}[r.mode_no] as "Ship Mode",
    b.customer_id as "Customer ID", b.customer_name as "Customer Name", b.segment as "Segment",
    p.city as "City", nullif(p.state, '') as "State", p.country as "Country",
    nullif(p.postal_code, '') as "Postal Code", p.market as "Market", p.region as "Region",
    case when r.kind in ('missing_product_ids', 'broken_look_ups') then null else s.product_id end as "Product ID",
    s.category as "Category", s.subcategory as "Sub-Category",
    case when r.kind = 'broken_look_ups' then '#N/A'
         else s.thing || case when r.month >= {renamed_in} and s.no % 20 = 0 then ' (new model)' else '' end end
        as "Product Name",
    case r.kind when 'broken_look_ups' then '#N/A' when 'sheet_errors' then '#VALUE!'
         when 'negative_sales' then money(-r.sales)::varchar else money(r.sales)::varchar end as "Sales",
    case when r.kind = 'zero_quantities' then 0 else r.quantity end as "Quantity",
    case when r.kind = 'discounts_in_percent' then greatest(r.discount, 5)::varchar
         else money(r.discount)::varchar end as "Discount",
    case when r.kind = 'broken_look_ups' then '#N/A' else money(r.profit)::varchar end as "Profit",
    money(r.shipping) as "Shipping Cost", {priorities}[r.priority_no] as "Order Priority"
"""
_FROM = """
    from {table} r join buyers b on b.no = r.buyer join shelf s on s.no = r.product join places p on p.no = r.place_no
"""
