"""`catchment init --from`: a project drafted from files, every guess with the evidence for it.

Files are read whole, through the source that will land them, and typed by the expressions that will refine them: what
the evidence counts is what a run will find.
"""

from __future__ import annotations

from catchment.draft.streams import DraftStream, find_streams, left_out
from catchment.draft.tables import TableGuess, study
from catchment.draft.types import ColumnGuess
from catchment.draft.writing import project_name, write_draft

__all__ = [
    "ColumnGuess",
    "DraftStream",
    "TableGuess",
    "find_streams",
    "left_out",
    "project_name",
    "study",
    "write_draft",
]
