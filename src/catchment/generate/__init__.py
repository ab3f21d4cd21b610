"""Projects' worth of data, for the demo, for tests and for load: same seed, same bytes."""

from __future__ import annotations

from catchment.generate.dirt import Dirt
from catchment.generate.manifest import Manifest, WrittenFile
from catchment.generate.sales import SALES_START, SalesDirt, generate_sales
from catchment.generate.shop import SHOP_START, generate_shop
from catchment.generate.traffic import Traffic

__all__ = [
    "SALES_START",
    "SHOP_START",
    "Dirt",
    "Manifest",
    "SalesDirt",
    "Traffic",
    "WrittenFile",
    "generate_sales",
    "generate_shop",
]
