"""Rows of a file whose columns its stream does not take: found as always, each a defect with its raw form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from catchment.sources.files.cuts import Cut, Defect, Places, RowCutter


@dataclass(frozen=True)
class RefusedRows:
    """Cuts as `cutter` does; nothing that it finds is good, for the same `reason`."""

    cutter: RowCutter
    reason: str

    @property
    def longest(self) -> int:
        return self.cutter.longest

    def cut(self, data: bytes, *, last: bool) -> Cut:
        """The rows that `data` holds whole, as defects."""
        return self._refused(self.cutter.cut(data, last=last))

    def cut_whole(self, data: bytes, begins: Places) -> Cut | None:
        """Several bodies in one; None where one of them needs a closer look."""
        found = self.cutter.cut_whole(data, begins)
        return None if found is None else self._refused(found)

    def _refused(self, found: Cut) -> Cut:
        own = {defect.start: defect for defect in found.defects}
        starts = np.sort(np.concatenate([found.starts, np.array(list(own), np.int64)]))
        stops = np.append(starts[1:], found.used)
        defects = [
            own.get(start) or Defect(start, stop, self.reason)
            for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
        ]
        return Cut(found.rows.slice(0, 0), found.starts[:0], defects, found.used, found.rest)
