"""Progress objects: claimed once, filled whole, folded after many segments; definitions beside them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from catchment.errors import Unfenced
from catchment.lake.progress import Definitions, ProgressFolder
from catchment.naming import TableName
from catchment.records import Progress

SALES = TableName("silver", "sales")


@pytest.fixture
def objects(tmp_path: Path) -> ProgressFolder:
    return ProgressFolder(tmp_path, SALES, 0)


def test_generation_nought_is_an_empty_table_without_an_object(objects: ProgressFolder, tmp_path: Path) -> None:
    assert objects.read(0) == Progress()
    assert not list(tmp_path.iterdir())


def test_a_state_comes_back_as_it_was_filled(objects: ProgressFolder) -> None:
    claim = objects.claim(0)
    state = Progress(
        generation=claim.number,
        parent=0,
        cursors={"land": {"place": 3, "name": "ü"}, "refine": {"bronze.a": 2}},
        judged=((1, 3), (7, 7)),
        definition="f" * 64,
        segments=("a.parquet",),
        cut_off=((4, 5),),
    )
    objects.fill(claim, state)
    assert objects.read(claim.number) == state


def test_a_claim_lies_above_its_base_and_above_all_claims(objects: ProgressFolder) -> None:
    assert [objects.claim(0).number, objects.claim(0).number] == [1, 2]
    assert objects.claim(41).number == 42
    assert objects.claim(7).number == 43


def test_a_claim_that_was_not_filled_has_no_state(objects: ProgressFolder) -> None:
    claim = objects.claim(0)
    with pytest.raises(Unfenced, match="Expecting value") as told:
        objects.read(claim.number)
    assert "move" in (told.value.hint or "")


@pytest.mark.parametrize("content", ['{"judged": [', '{"a": 1}', "[]", '{"judged": [[1]], "cut_off": []}'])
def test_a_damaged_state_is_told_with_a_way_out(objects: ProgressFolder, tmp_path: Path, content: str) -> None:
    claim = objects.claim(0)
    (tmp_path / "_progress" / "silver.sales" / "0" / f"{claim.number:019d}.json").write_text(content)
    with pytest.raises(Unfenced, match=r"the state of silver\.sales is damaged") as told:
        objects.read(claim.number)
    assert f"move {tmp_path / 'silver' / 'sales'} away" in (told.value.hint or "")


@pytest.mark.parametrize("content", [None, b"PAR1"])
def test_a_lost_segment_is_told_with_a_way_out(objects: ProgressFolder, tmp_path: Path, content: bytes | None) -> None:
    (name,) = objects.add_segment(objects.claim(0), (), pa.table({"path": ["a"]}))
    path = tmp_path / "_progress" / "silver.sales" / "0" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(Unfenced, match=r"what silver\.sales has seen is damaged or gone") as told:
        objects.seen((name,))
    assert told.value.hint is not None


def test_a_draft_that_died_is_no_claim_and_no_state(objects: ProgressFolder, tmp_path: Path) -> None:
    claim = objects.claim(0)
    folder = tmp_path / "_progress" / "silver.sales" / "0"
    (folder / f"{claim.number:019d}.draft").write_text("{", encoding="utf-8")
    objects.fill(claim, Progress(generation=1))
    assert objects.read(1).generation == 1
    assert not list(folder.glob("*.draft"))


def test_shards_and_tables_count_for_themselves(tmp_path: Path) -> None:
    places = [(SALES, 0), (SALES, 1), (TableName("bronze", "sales"), 0)]
    assert [ProgressFolder(tmp_path, table, shard).claim(0).number for table, shard in places] == [1, 1, 1]


def test_many_segments_fold_into_one_without_losing_a_row(objects: ProgressFolder) -> None:
    segments: tuple[str, ...] = ()
    longest = 0
    for number in range(130):
        segments = objects.add_segment(objects.claim(0), segments, pa.table({"path": [number]}))
        longest = max(longest, len(segments))
    seen = objects.seen(segments)
    assert seen is not None
    assert sorted(seen["path"].to_pylist()) == list(range(130))
    assert longest <= 64
    assert len(segments) < 10


def test_segments_of_an_older_state_are_left_as_they_are(objects: ProgressFolder) -> None:
    older: tuple[str, ...] = ()
    for number in range(64):
        older = objects.add_segment(objects.claim(0), older, pa.table({"path": [number]}))
    newer = objects.add_segment(objects.claim(0), older, pa.table({"path": [64]}))
    first, second = objects.seen(older), objects.seen(newer)
    assert first is not None
    assert second is not None
    assert (first.num_rows, second.num_rows) == (64, 65)


def test_a_definition_is_kept_once_and_an_unknown_one_is_none(tmp_path: Path) -> None:
    definitions = Definitions(tmp_path)
    assert definitions.read("abc") is None
    definitions.keep("abc", {"mode": "append"})
    definitions.keep("abc", {"mode": "something else"})
    assert Definitions(tmp_path).read("abc") == {"mode": "append"}
