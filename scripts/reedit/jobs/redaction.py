"""Text without the secrets that may have got into it, for logs and for messages.

The configuration holds none (settings/configuration.py refuses them), but addresses that a server redirects
to may be signed, and libraries put whole addresses into their errors.
"""

import os
import re

USER = re.compile(r"(?<=://)[^/\s@'\"]+@")  # user:password@ of an address
QUERY = re.compile(r"(?<=://)([^\s?'\"<>]+)\?[^\s'\"<>)]+")  # of an address: it may hold a signature
TOKEN = re.compile(r"(?i)\b(?:(?<=bearer )[\w.~+/=-]+|hf_\w{8,})")
VARIABLES = ("HF_TOKEN",)  # of the environment, whose values are secrets


def without_secrets(text: str) -> str:
    """`text` with stars for passwords and queries in addresses, for tokens, and for what VARIABLES hold."""
    for value in filter(None, map(os.environ.get, VARIABLES)):
        text = text.replace(value, "***")
    text = TOKEN.sub("***", USER.sub("***@", text))
    return QUERY.sub(r"\1?***", text)
