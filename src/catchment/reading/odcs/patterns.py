"""Regular expressions of a contract: those that RE2 has, for it never runs long on a hostile value."""

from __future__ import annotations

import re
import warnings

# logicalTypeOptions.format of a string, as patterns over the whole value.
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
FORMATS: dict[str, str] = {
    "email": rf"^[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(\.{_LABEL})+$",
    "uuid": r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    "uri": r"^[A-Za-z][A-Za-z0-9+.-]*:[^\s]+$",
    "hostname": rf"^{_LABEL}(\.{_LABEL})*$",
    "ipv4": rf"^{_OCTET}(\.{_OCTET}){{3}}$",
    "ipv6": r"^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$",
}
# What is wrong with a value that does not match, for people.
FORMAT_WORDS: dict[str, str] = {
    FORMATS["email"]: "is not an e-mail address",
    FORMATS["uuid"]: "is not a UUID",
    FORMATS["uri"]: "is not a URI",
    FORMATS["hostname"]: "is not a host name",
    FORMATS["ipv4"]: "is not an IPv4 address",
    FORMATS["ipv6"]: "is not an IPv6 address",
}
# Formats that say how text is meant, not which text is right.
FORMATS_UNCHECKED = frozenset({"password", "byte", "binary"})

_REFUSED = (
    (re.compile(r"\(\?<?[=!]"), "lookaround", "write what must match; a condition can combine two patterns"),
    (re.compile(r"\\[1-9]|\\k[<{']|\(\?P="), "a backreference", "spell both parts out, or write a condition"),
    (re.compile(r"\(\?>|(?<!\\)[*+?}]\+"), "an atomic or possessive group", "leave the `+` or `?>` out"),
    (re.compile(r"\(\?\("), "a conditional group", "write both cases with `|`"),
    (re.compile(r"\\u[0-9A-Fa-f]{4}"), "\\u", "write the character itself, or \\x{…}"),
    (re.compile(r"\(\?<[A-Za-z_]"), "(?<name>", "write (?P<name>…)"),
    (re.compile(r"\\Z"), "\\Z", "write $ or \\z"),
)
# RE2 has these and Python has not: stand-ins for the trial compilation.
_ONLY_RE2 = (
    (re.compile(r"\\[pP](\{\^?\w+\}|[A-Z])"), r"\\w"),
    (re.compile(r"\[:\^?\w+:\]"), "a-z"),
    (re.compile(r"\\z"), "$"),
    (re.compile(r"\\x\{[0-9A-Fa-f]+\}"), "x"),
    (re.compile(r"\\Q.*?\\E"), "x"),
)


def fault(pattern: str) -> tuple[str, str] | None:
    """What is wrong with a pattern, and the cure; None where it can be used."""
    bare = re.sub(r"\\\\", "", pattern)
    for refused, name, cure in _REFUSED:
        if refused.search(_without_classes(bare) if name.startswith("an atomic") else bare):
            return f"pattern uses {name}, which is not supported", cure
    trial = pattern
    for only, stand_in in _ONLY_RE2:
        trial = only.sub(stand_in, trial)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(trial)
    except (re.error, OverflowError, RecursionError) as error:
        return f"pattern is not a regular expression: {error}", "correct it; `\\` before a sign takes its meaning away"
    return None


def _without_classes(pattern: str) -> str:
    return re.sub(r"\\[pP]\{\^?\w+\}|\[\^?\]?(\\.|[^\]\\])*\]", "c", pattern)
