"""Webhooks under fire for long: as many kills of the receiver as SOAK_KILLS says (25); `make soak`, by hand."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

from tests.flows.webhook_senders import STREAMS, Receiving, landed, under_fire, write_project, written

from catchment.testing import crash


def test_no_delivery_that_was_taken_is_lost_over_many_kills(tmp_path: Path) -> None:
    seed = int(os.environ.get("SOAK_SEED", time.time_ns() % 2**32))
    kills = int(os.environ.get("SOAK_KILLS", "25"))
    folder = write_project(tmp_path / "hooks")
    with Receiving(folder) as receiving:
        senders = under_fire(receiving, kills=kills, seed=seed)
        assert receiving.stop() == 0
    assert crash.run_until(folder).outcome in ("done", "nothing_new")
    for path, stream in STREAMS.items():
        sent = [delivery for sender in senders if sender.path == path for delivery in sender.taken]
        assert landed(folder, stream) == Counter(sent), f"seed {seed}"
    assert crash.faults(folder) == []
    rows, messages = sum(len(sender.taken) for sender in senders), written(folder)
    print(f"{kills} kills, {rows:,} deliveries taken and landed, {messages:,} messages, seed {seed}")  # noqa: T201
