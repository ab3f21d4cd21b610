"""What a run would meet outside, asked of every source and of the live store at once: `catchment check --connect`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from catchment.connected import Connected
from catchment.errors import CatchmentError, RetryableError, refused
from catchment.records import Finding

# A server that is there answers sooner; one that is not may let a connection hang for minutes.
PATIENCE_S = 30.0


@dataclass
class _Asked:
    """A source, or the live store, asked in a thread of its own; what it has told so far."""

    name: str
    probe: Callable[[], Iterator[Finding]]
    findings: list[Finding] = field(default_factory=list)
    bug: BaseException | None = None


def probe_sources(connected: Connected, *, within_s: float = PATIENCE_S) -> list[Finding]:
    """Findings on every stream, in the project's order; writes nothing.

    All sources are asked at the same time, each for at most so many seconds. What concerns all streams of a source
    alike, such as a server that refuses, is told once: the finding's `feed` is then the source's name.
    """
    return _probe(_sources(connected), within_s)


def probe(connected: Connected, *, within_s: float = PATIENCE_S) -> list[Finding]:
    """The same, and last a finding on the target's live store where the project declares live figures."""
    asked = _sources(connected)
    if connected.project.live:
        asked.append(_Asked(f"targets.{connected.target_name}.live", partial(_figures, connected)))
    return _probe(asked, within_s)


def is_live_store(finding: Finding) -> bool:
    """Whether it is about the live store of a target, and no stream: names of sources have no dot."""
    return finding.feed.startswith("targets.") and finding.feed.endswith(".live")


def _sources(connected: Connected) -> list[_Asked]:
    return [_Asked(name, partial(_probed, connected, name)) for name in connected.project.sources]


def _probe(asked: Sequence[_Asked], within_s: float) -> list[Finding]:
    # Whoever hangs in a driver cannot be stopped; the process does not wait for a daemon at its end.
    threads = [threading.Thread(target=_ask, args=(one,), daemon=True) for one in asked]
    for thread in threads:
        thread.start()
    until = time.monotonic() + within_s
    found: list[Finding] = []
    for one, thread in zip(asked, threads, strict=True):
        thread.join(max(0.0, until - time.monotonic()))
        if one.bug is not None:
            raise one.bug
        told = list(one.findings)
        if thread.is_alive():
            hint = "is the host right, and does a firewall let you through?"
            told.append(Finding(one.name, "error", f"no answer within {within_s:.0f} s", hint))
        found += _together(one.name, told)
    return found


def _ask(asked: _Asked) -> None:
    """Never raises: what goes wrong is a finding, or a bug for the one who waits."""
    try:
        for finding in asked.probe():
            asked.findings.append(finding)
    except CatchmentError as error:
        asked.findings.append(_finding(asked.name, error))
    except OSError as error:
        asked.findings.append(_finding(asked.name, refused(error)))
    except BaseException as error:
        asked.bug = error


def _probed(connected: Connected, name: str) -> Iterator[Finding]:
    source = connected.source(name)
    try:
        for feed in source.feeds():
            try:
                yield from source.probe(feed)
            except RetryableError as error:
                # Nobody answers: the other streams would only wait for the same.
                yield replace(_finding(feed.name, error), feed=name)
                return
            except CatchmentError as error:
                yield _finding(feed.name, error)
    finally:
        source.close()


def _figures(connected: Connected) -> Iterator[Finding]:
    """That the live store answers, and keeps the figures of nobody else."""
    from catchment.figures.applied import live_of

    # A store of its own, for this thread.
    own = replace(connected)
    try:
        own.live_store.apply(live_of(own), "show")
        yield Finding(f"targets.{own.target_name}.live", "ok", f"the live store ({own.live_type}) answers")
    finally:
        if "live_store" in own.__dict__:
            own.live_store.close()


def _finding(feed: str, error: CatchmentError) -> Finding:
    return Finding(feed, "error", _without(feed, error.message), error.hint)


def _without(feed: str, message: str) -> str:
    """A message that begins with the name which stands before it anyhow."""
    rest = message.removeprefix(feed)
    # `shop_db` begins `shop_db.users: …` too, where the name of the stream has to stay.
    return rest.removeprefix(":").lstrip() if rest[:1] in (":", " ") else message


def _together(source: str, found: Sequence[Finding]) -> list[Finding]:
    """Errors that are the same for all streams as one of the source; a single stream keeps its own."""
    plain = [replace(one, message=_without(one.feed, one.message)) for one in found]
    errors = {(one.message, one.hint) for one in plain if one.severity == "error"}
    if len(plain) > 1 and len(errors) == 1 and all(one.severity == "error" for one in plain):
        return [replace(plain[0], feed=source)]
    return plain
