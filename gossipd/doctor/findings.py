"""What a check has found."""

from typing import Literal

from msgspec import Struct

Verdict = Literal["ok", "warning", "error", "skipped"]


class Finding(Struct, frozen=True):
    """`check` is stable, `code` too: what programs read. `subject`: of a peer, its id."""

    check: str
    verdict: Verdict
    evidence: str
    code: str = ""
    """What is wrong; empty when nothing is."""
    fix: str = ""
    subject: str = ""


def good(check: str, evidence: str, subject: str = "") -> Finding:
    return Finding(check, "ok", evidence, subject=subject)


def skipped(check: str, evidence: str, subject: str = "") -> Finding:
    return Finding(check, "skipped", evidence, subject=subject)


def bad(check: str, code: str, evidence: str, fix: str, subject: str = "") -> Finding:
    return Finding(check, "error", evidence, code, fix, subject)


def doubtful(check: str, code: str, evidence: str, fix: str, subject: str = "") -> Finding:
    return Finding(check, "warning", evidence, code, fix, subject)
