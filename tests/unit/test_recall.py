"""What is recalled is what was put under the same key, by the same code; anything else is nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from catchment import recall
from catchment.recall import Recall, digest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / ".catchment").mkdir()
    return tmp_path / ".catchment" / "plan" / "local.json"


def put(path: Path, **values: object) -> None:
    found = Recall(path)
    for name, value in values.items():
        found.put(name, "key", value)
    found.save(values)


def test_a_value_comes_back_under_its_key_only(path: Path) -> None:
    put(path, a=[1, "ü", None])
    found = Recall(path)
    assert found.get("a", "key") == [1, "ü", None]
    assert found.get("a", "another") is None
    assert found.get("b", "key") is None


def test_what_is_no_longer_known_goes_when_something_new_comes(path: Path) -> None:
    put(path, a=1, b=2, c=3)
    found = Recall(path)
    found.put("d", "key", 4)
    found.save(["a", "d"])
    after = Recall(path)
    assert [after.get(name, "key") for name in "abcd"] == [1, None, None, 4]


def test_nothing_new_writes_nothing(path: Path) -> None:
    put(path, a=1)
    before = path.stat().st_mtime_ns
    found = Recall(path)
    found.get("a", "key")
    found.save(["a"])
    assert path.stat().st_mtime_ns == before


def test_without_the_folder_above_nothing_is_written(tmp_path: Path) -> None:
    put(tmp_path / ".catchment" / "plan" / "local.json", a=1)
    assert list(tmp_path.iterdir()) == []


def test_other_code_recalls_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, a=1)
    with monkeypatch.context() as patch:
        patch.setattr(recall, "_code", lambda: "another release")
        assert Recall(path).get("a", "key") is None
    assert Recall(path).get("a", "key") == 1


def test_code_is_told_apart_by_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    module = tmp_path / "inner" / "module.py"
    module.write_text("one = 1\n", encoding="utf-8")
    monkeypatch.setattr(recall, "__file__", str(tmp_path / "recall.py"))
    before = recall._code.__wrapped__()
    assert recall._code.__wrapped__() == before
    module.write_text("one = 12\n", encoding="utf-8")
    assert recall._code.__wrapped__() != before


def test_many_writers_at_once_leave_one_whole_file(path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(20):
            put(path, a=[number] * 1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Recall(path).get("a", "key")
    assert found in [[number] * 1000 for number in range(4)]
    assert [entry.name for entry in path.parent.iterdir()] == ["local.json"]


def test_parts_of_a_key_do_not_run_into_each_other() -> None:
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest(b"abc", "")}) == 4
    assert digest("abc") == digest(b"abc")
