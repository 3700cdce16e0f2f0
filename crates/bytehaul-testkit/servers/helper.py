"""What the scripts share that drive an official SDK: a question as a line of JSON comes in, an answer goes out."""

import base64
import datetime
import json
import sys


class Refused(Exception):
    """The server's own word for why it did not do it."""


def answers(handle):
    """Answers with `{"ok": …}` or `{"refused": CODE}` until standard input ends."""
    handle = {"ready": lambda: None, **handle}
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"ok": handle[question["ask"]](**question["of"])}
        except Refused as refused:
            answer = {"refused": str(refused)}
        except Exception as error:
            # Anything else is a fault of the test, which is told.
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=_plain), flush=True)


def _plain(value):
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    return str(value)
