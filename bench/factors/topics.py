"""CPython's own help texts, `pydoc_data.topics`: the text that is always there, from which the task `text` is cut.

Each minor version of Python has its own, so results name the digest of what they were cut from.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache
from hashlib import sha256
from itertools import pairwise

TOPICS = "pydoc_data.topics"  # under which a manifest holds the digest
SYMBOLS = 97  # newline, the 95 printable characters of ASCII, and one for all others
OTHER = "\0"


@cache
def topics() -> str:
    """The texts in the order of their names, joined; what is neither printable ASCII nor a newline is `OTHER`."""
    return re.sub(r"[^\n -~]", OTHER, _joined())


@cache
def topics_digest() -> str:
    """SHA-256 of the joined texts, as they come."""
    return sha256(_joined().encode()).hexdigest()


@cache
def bigram_entropy() -> float:
    """Entropy of a character of `topics` given the one before it, in nats: 2.458 in Python 3.11."""
    text = topics()
    before = Counter(text[:-1])
    pairs = Counter(pairwise(text))
    return -sum(count * math.log(count / before[one]) for (one, _), count in pairs.items()) / (len(text) - 1)


def _joined() -> str:
    from pydoc_data.topics import topics as by_name  # half a megabyte that only this task needs

    return "".join(by_name[name] for name in sorted(by_name))
