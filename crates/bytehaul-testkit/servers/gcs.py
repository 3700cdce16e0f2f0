"""Resumable uploads of Google Cloud Storage, from Google's page on them
(https://cloud.google.com/storage/docs/performing-resumable-uploads), because the emulators that there are tell of bytes
that they do not have, take chunks off the grid of 256 KiB, and forget a session as soon as it is complete.

    python gcs.py PORT TOKEN        in a directory with `sessions/` and `objects/`

`sessions/ID` has what was kept of an upload, `sessions/ID.json` what was said of it, `objects/HEX-OF-NAME` an object. They may
be changed from outside. What breaks off is kept as far as it fills the grid.
"""

import base64
import json
import re
import secrets
import sys
import threading
import urllib.parse
from pathlib import Path

from awscrt import checksums

import loopback

PORT, TOKEN = int(sys.argv[1]), sys.argv[2]
SESSIONS, OBJECTS = Path("sessions"), Path("objects")
GRID = 256 << 10
BEGIN = re.compile("(/upload/storage/v1/b/[^/]+/o)")
DESCRIPTION = re.compile("/storage/v1/b/[^/]+/o/([^/]+)")
RANGE = re.compile(r"bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<total>\d+|\*)")


class Rejected(Exception):
    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


class Turns:
    """The latest request of a session is the one that counts; what an earlier one still sends is thrown away."""

    def __init__(self):
        self.lock = threading.Lock()
        self.latest = {}

    def take(self, session):
        with self.lock:
            self.latest[session] = turn = object()
        return turn

    def has(self, session, turn):
        return self.latest.get(session) is turn


TURNS = Turns()


def of_object(name):
    return OBJECTS / name.encode().hex()


def describe(name, data):
    crc = checksums.crc32c(data).to_bytes(4, "big")
    return json.dumps(
        {
            "kind": "storage#object",
            "name": name,
            "size": str(len(data)),
            "crc32c": base64.b64encode(crc).decode(),
            "etag": f"CM{crc.hex()}=",
        }
    ).encode()


class Gcs(loopback.Handler):
    def do_POST(self):
        self.guarded(self.begin)

    def do_GET(self):
        self.guarded(self.tell)

    def do_PUT(self):
        self.guarded(self.take)

    def do_DELETE(self):
        self.guarded(self.discard)

    def pieces(self, most=1 << 18):
        """The body once; whoever asks again gets nothing."""
        if not self.is_taken:
            self.is_taken = True
            yield from super().pieces(most)

    def guarded(self, work):
        self.is_taken = False
        self.url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(self.url.query))
        try:
            work()
        except Rejected as rejected:
            for _ in self.pieces():
                pass
            self.answer(rejected.status, str(rejected).encode())

    def begin(self):
        """Under a token, or by a URL that was signed for it."""
        body = b"".join(self.pieces())
        if BEGIN.fullmatch(self.url.path):
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Rejected(401, "no such token")
            if self.query.get("uploadType") != "resumable" or not self.query.get("name"):
                raise Rejected(400, "uploadType=resumable and name")
            name, about, status = self.query["name"], json.loads(body or b"{}"), 200
        else:
            if self.query.get("X-Goog-Signature") != TOKEN or self.headers.get("x-goog-resumable") != "start":
                raise Rejected(403, "not signed for that")
            name, about, status = urllib.parse.unquote(self.url.path).split("/", 2)[2], {}, 201
        only_new = self.query.get("ifGenerationMatch") == "0"
        if only_new and of_object(name).exists():
            raise Rejected(412, "there is one")
        session = secrets.token_hex(8)
        (SESSIONS / session).write_bytes(b"")
        kept = {"name": name, "only_new": only_new, "about": about, "done": False}
        (SESSIONS / f"{session}.json").write_text(json.dumps(kept))
        query = urllib.parse.urlencode({"uploadType": "resumable", "upload_id": session})
        self.answer(status, headers=[("Location", f"http://{self.headers['Host']}{self.url.path}?{query}")])

    def tell(self):
        found = DESCRIPTION.fullmatch(self.url.path)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Rejected(401, "no such token")
        name = urllib.parse.unquote(found[1]) if found else ""
        if not of_object(name).is_file():
            raise Rejected(404, "no such object")
        self.answer(200, describe(name, of_object(name).read_bytes()))

    def session(self):
        session = self.query.get("upload_id", "")
        about = SESSIONS / f"{session}.json"
        if not re.fullmatch("[0-9a-f]{16}", session) or not about.exists():
            raise Rejected(404, "no such session")
        return session, about, json.loads(about.read_text())

    def take(self):
        session, about, kept = self.session()
        if self.headers.get("Authorization"):
            raise Rejected(400, "the session's URL is enough")
        content = SESSIONS / session
        turn = TURNS.take(session)
        if kept["done"]:
            for _ in self.pieces():
                pass
            return self.answer(200, describe(kept["name"], of_object(kept["name"]).read_bytes()))
        found = RANGE.fullmatch(self.headers.get("Content-Range", ""))
        if not found:
            raise Rejected(400, "Content-Range")
        total = None if found["total"] == "*" else int(found["total"])
        if found["first"] is not None:
            self.keep(content, int(found["first"]), int(found["last"]), total, (session, turn))
        size = content.stat().st_size
        if size != total:
            has = [("Range", f"bytes=0-{size - 1}")] if size else []
            return self.answer(308, headers=has)
        if kept["only_new"] and of_object(kept["name"]).exists():
            raise Rejected(412, "there is one")
        data = content.read_bytes()
        fresh = OBJECTS / f"{session}.new"
        fresh.write_bytes(data)
        fresh.rename(of_object(kept["name"]))
        about.write_text(json.dumps({**kept, "done": True}))
        content.unlink()
        self.answer(200, describe(kept["name"], data))

    def keep(self, content, first, last, total, turn):
        length = last - first + 1
        if int(self.headers.get("Content-Length", -1)) != length:
            raise Rejected(400, "Content-Length")
        known = content.stat().st_size - first
        if known < 0:
            raise Rejected(400, "it goes on elsewhere")
        if length % GRID and last + 1 != total:
            raise Rejected(400, "off the grid")
        pending = b""
        with content.open("ab", buffering=0) as file:
            for piece in self.pieces():
                # What is there already is ignored.
                pending += piece[known:]
                known = max(known - len(piece), 0)
                if not TURNS.has(*turn):
                    raise loopback.Broken
                whole = len(pending) // GRID * GRID
                file.write(pending[:whole])
                pending = pending[whole:]
            file.write(pending)

    def discard(self):
        session, about, _ = self.session()
        TURNS.take(session)
        about.unlink()
        (SESSIONS / session).unlink(missing_ok=True)
        # "Client Closed Request" is how Google says that it is gone.
        self.answer(499)


SESSIONS.mkdir(exist_ok=True)
OBJECTS.mkdir(exist_ok=True)
loopback.serve(PORT, Gcs)
