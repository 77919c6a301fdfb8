"""Whether the text of a remark is what a memo rule looks for (PA3). Pure; compares bytes, as the chain does.

Regular expressions are RE2's, which take time linear in the text whatever the expression: neither a partner's pattern nor
a stranger's remark can hold a close up. They have no look-around and no references back.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import re2

PATTERN_LENGTH_MAX = 200
# An expression of 200 characters can ask for millions of states; RE2 refuses those that need more than this.
_MEMORY_MAX = 1 << 20


class MemoMatch(StrEnum):
    """How a rule's memo is compared with a remark's text."""

    EQUALS = "EQUALS"
    STARTS = "STARTS"
    CONTAINS = "CONTAINS"
    REGEX = "REGEX"


class InvalidMemo(ValueError):
    """The memo can match nothing, or is no expression. The message says what is wrong."""


def matcher(how: MemoMatch, memo: str) -> Callable[[bytes], bool]:
    """Make the test of a text; an expression is searched anywhere in it, unless it is anchored by `^` and `$`.

    :raises InvalidMemo: for an empty or too long memo, or an expression that RE2 refuses or that matches the empty text.
    """
    if not memo.strip():
        raise InvalidMemo("an empty memo would match every remark; for all delegations use a rule for all")
    if len(memo) > PATTERN_LENGTH_MAX:
        raise InvalidMemo(f"a memo has at most {PATTERN_LENGTH_MAX} characters, not {len(memo)}")
    wanted = memo.encode()
    if how is MemoMatch.EQUALS:
        return lambda text: text == wanted
    if how is MemoMatch.STARTS:
        return lambda text: text.startswith(wanted)
    if how is MemoMatch.CONTAINS:
        return lambda text: wanted in text
    options = re2.Options()
    options.log_errors, options.max_mem = False, _MEMORY_MAX
    try:
        expression = re2.compile(wanted, options)
    except re2.error as error:
        detail = error.args[0].decode(errors="replace") if error.args else "no reason given"
        raise InvalidMemo(f"this is no regular expression (RE2): {detail}") from error
    if expression.search(b"") is not None:
        raise InvalidMemo("the expression matches an empty text, so it would match every remark")
    return lambda text: expression.search(text) is not None
