"""From a sender to bronze: killed at any moment, every delivery that was answered with 200 is one row."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from tests.flows.webhook_senders import STREAMS, Line, Receiving, landed, under_fire, write_project, written

from catchment.testing import crash


def test_every_delivery_that_was_taken_is_one_row_whatever_was_killed(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "hooks")
    with Receiving(folder) as receiving:
        senders = under_fire(receiving, kills=4, seed=7)
        assert receiving.stop() == 0
    assert crash.run_until(folder).outcome in ("done", "nothing_new")
    for path, stream in STREAMS.items():
        sent = [delivery for sender in senders if sender.path == path for delivery in sender.taken]
        assert len(sent) > 10
        assert landed(folder, stream) == Counter(sent)
    assert sum(sender.answers[0] for sender in senders) > 0, "no sender met a receiver that was gone"
    assert written(folder) > sum(len(sender.taken) for sender in senders), "nothing came twice into a topic"
    assert crash.faults(folder) == []


def test_what_is_refused_is_counted_and_lands_nowhere(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "hooks")
    now, right = time.time(), b'{"id": "right"}'
    with Receiving(folder) as receiving, Line(receiving.port) as line:
        assert line.send("/payments", "msg_1", right) == 200
        assert line.send("/payments", "msg_2", right, webhook_id="msg_3") == 401
        assert line.send("/payments", "msg_4", right, now=now - 320) == 400
        assert line.send("/stripe", "", right, now=now + 900) == 400
        assert line.send("/stripe", "", b'{"id": "evt_1"') == 400
        assert line.send("/github", "guid", b'"%s"' % (b"x" * 1_000_001)) == 413
        assert line.send("/payments", "msg_1", right) == 200
        assert receiving.stop() == 0
    (stopped,) = (event for event in receiving.events if event["event"] == "ReceiverStopped")
    assert (stopped["taken"], stopped["repeated"]) == (1, 1)
    assert stopped["refused"] == {"forged": 1, "malformed": 1, "oversized": 1, "stale": 2}
    counted = [event for event in receiving.events if event["event"] == "DeliveriesCounted"]
    assert sum(sum(event["refused"].values()) for event in counted) == 5
    assert crash.run_until(folder).outcome == "done"
    assert landed(folder, "notices") == {"msg_1": 1}


def test_a_delivery_before_a_stop_and_again_after_it_is_one_row(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "hooks")
    for _ in range(2):
        with Receiving(folder) as receiving, Line(receiving.port) as line:
            assert line.send("/payments", "msg_1", b'{"id": "msg_1"}') == 200
            assert receiving.stop() == 0
        (stopped,) = (event for event in receiving.events if event["event"] == "ReceiverStopped")
        assert (stopped["taken"], stopped["repeated"]) == (1, 0)
        assert crash.run_until(folder).outcome == "done"
    assert landed(folder, "notices") == {"msg_1": 1}
