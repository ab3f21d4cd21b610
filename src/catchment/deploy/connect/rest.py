"""Kafka Connect's REST interface. https://kafka.apache.org/documentation/#connect_rest"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

import httpx
import tenacity

from catchment.errors import CatchmentError, ConfigError, FatalError, RetryableError
from catchment.settings import redact

_TIMEOUT_S = 30.0

# While workers share out connectors anew, which takes seconds, they answer that somebody should ask again.
_PATIENCE_S = 60.0
_SHOWN = 500


@dataclass(frozen=True)
class TaskState:
    """One task. `trace` is the first line of what made it fail."""

    id: int
    state: str
    worker: str = ""
    trace: str = ""


@dataclass(frozen=True)
class ConnectorState:
    """A connector and its tasks: RUNNING, FAILED, PAUSED, STOPPED, UNASSIGNED; ABSENT where Connect has no such one.

    A connector without tasks has not been given any yet, or nothing to do.
    """

    name: str
    state: str
    worker: str = ""
    trace: str = ""
    tasks: Sequence[TaskState] = ()

    @property
    def has_failed(self) -> bool:
        return "FAILED" in (self.state, *(task.state for task in self.tasks))

    @property
    def is_running(self) -> bool:
        return self.state == "RUNNING" and bool(self.tasks) and all(task.state == "RUNNING" for task in self.tasks)


class Connect:
    """The workers at `url`. Whom they let in says `username` and `password`."""

    def __init__(self, url: str, username: str | None = None, password: str | None = None) -> None:
        """Opens nothing."""
        self._url = url.rstrip("/")
        self._auth = None if username is None else httpx.BasicAuth(username, password or "")

    @cached_property
    def _http(self) -> httpx.Client:
        # httpx logs whole addresses.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        return httpx.Client(auth=self._auth, timeout=_TIMEOUT_S, headers={"User-Agent": "catchment"})

    @property
    def place(self) -> str:
        """Where it is, for people: a password may stand before the host."""
        url = httpx.URL(self._url)
        return f"{url.host}{'' if url.port is None else f':{url.port}'}"

    def close(self) -> None:
        if "_http" in self.__dict__:
            self._http.close()
            del self.__dict__["_http"]

    def names(self) -> Sequence[str]:
        """Every connector that Connect has."""
        return sorted(map(str, self._list("connectors")))

    def plugins(self) -> Sequence[str]:
        """The classes of connectors that the workers could run."""
        found = self._list("connector-plugins?connectorsOnly=true")
        return sorted(str(one["class"]) for one in found if isinstance(one, dict) and "class" in one)

    def config(self, name: str) -> Mapping[str, str] | None:
        """What a connector was told, without its name; None where there is no such connector."""
        found = self._asked("GET", f"connectors/{quote(name, safe='')}/config")
        if found is None:
            return None
        if not isinstance(found, dict):
            raise self._stranger()
        return {key: value for key, value in found.items() if key != "name"}

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Make a connector, or tell it something else. Raises ConfigError with what Connect says is wrong."""
        self._asked("PUT", f"connectors/{quote(name, safe='')}/config", dict(config))

    def state(self, name: str) -> ConnectorState:
        found = self._asked("GET", f"connectors/{quote(name, safe='')}/status")
        if found is None:
            return ConnectorState(name, "ABSENT")
        told = found.get("connector") if isinstance(found, dict) else None
        if not isinstance(told, dict):
            raise self._stranger()
        tasks = [
            TaskState(int(one["id"]), str(one["state"]), str(one.get("worker_id", "")), _first_line(one.get("trace")))
            for one in found.get("tasks", ())
        ]
        trace = _first_line(told.get("trace"))
        return ConnectorState(name, str(told["state"]), str(told.get("worker_id", "")), trace, tasks)

    def restart(self, name: str, *, failed: bool) -> bool:
        """The connector and its tasks, or those that have failed; False where there is no such connector."""
        asked = f"includeTasks=true&onlyFailed={'true' if failed else 'false'}"
        return self._asked("POST", f"connectors/{quote(name, safe='')}/restart?{asked}") is not None

    def _list(self, path: str) -> list[Any]:
        found = self._asked("GET", path)
        if not isinstance(found, list):
            raise self._stranger()
        return found

    def _asked(self, method: str, path: str, body: Any = None) -> Any:
        """What Connect answers, None where it has no such thing. Asks again where that may help."""
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Rebalancing),
            stop=tenacity.stop_after_delay(_PATIENCE_S),
            wait=tenacity.wait_random_exponential(0.2, max=2),
            reraise=True,
        )
        return again(self._once, method, path, body)

    def _once(self, method: str, path: str, body: Any) -> Any:
        try:
            answer = self._http.request(method, f"{self._url}/{path}", json=body)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL):
            message = "the address of Kafka Connect is none of HTTP"
            raise ConfigError(message, hint="write connect: {url: http://host:8083} at the target") from None
        except httpx.HTTPError as error:
            message = f"cannot reach Kafka Connect at {self.place}: {_words(error)}"
            raise RetryableError(message, hint="is a worker running, and is connect.url right?") from None
        if answer.is_success:
            return self._json(answer) if answer.content else {}
        if answer.status_code == 404 and "/" in path and _is_its_own(answer):
            return None
        raise self._refusal(answer, method, path)

    def _refusal(self, answer: httpx.Response, method: str, path: str) -> CatchmentError:
        status, where = answer.status_code, f"Kafka Connect at {self.place}"
        if status in (401, 403):
            return ConfigError(f"{where} does not let us in ({status})", hint="look at connect.username and password")
        own = _is_its_own(answer)
        if not own and status < 500:
            return self._stranger()
        said = redact(str((own and answer.json().get("message")) or answer.reason_phrase).strip())
        if status == 409 or "rebalance" in said.lower():
            return _Rebalancing(f"{where} is busy: {said[:_SHOWN]}", hint="try again in a minute; look at its log")
        if status == 400:
            name = path.split("/")[1] if "/" in path else path
            message = f"{where} refuses the configuration of {name}: {said[:_SHOWN]}"
            return ConfigError(message, hint="is the connector's plug-in installed in every worker?")
        if status >= 500:
            return FatalError(f"{where} is not well: {status} {said[:_SHOWN]}", hint="look at its log")
        message = f"{where} answers {status} to {method} {path.partition('?')[0]}: {said[:_SHOWN]}"
        return ConfigError(message, hint="is connect.url its address?")

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise self._stranger() from None

    def _stranger(self) -> ConfigError:
        message = f"what answers at {self.place} is no Kafka Connect"
        return ConfigError(message, hint="is connect.url its address?")


class _Rebalancing(RetryableError):
    """Workers are sharing out connectors."""


def _is_its_own(answer: httpx.Response) -> bool:
    """Whether Connect refuses, which says why in JSON: any web server has no page of a connector's name."""
    try:
        told = answer.json()
    except ValueError:
        return False
    return isinstance(told, dict) and "error_code" in told


def _first_line(trace: Any) -> str:
    """What a Java trace says: its last cause, where it names one."""
    lines = [line.strip() for line in str(trace or "").splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    told = " / ".join(dict.fromkeys([*lines[:1], *causes[-1:]]))
    return redact(told[:_SHOWN])


def _words(error: httpx.HTTPError) -> str:
    """Not httpx's own: an address may stand in them."""
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {_TIMEOUT_S:.0f} s"
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return str(cause.strerror).lower() if cause is not None and cause.strerror else "the connection broke"
