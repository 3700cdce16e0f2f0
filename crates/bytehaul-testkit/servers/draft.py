"""A server of "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload, interop version 8), from the draft's text alone.

    python draft.py PORT        in a directory with `setup.json` and `uploads/`

The files `uploads/ID` and `uploads/ID.json` are the content and the state of an upload; they may be changed from outside.
What a request does against the draft is answered as the draft says, and kept in `violations.log` besides.
"""

import base64
import contextlib
import hashlib
import json
import re
import secrets
import socket
import sys
import threading
from pathlib import Path

import loopback

SETUP = json.loads(Path("setup.json").read_text())
LIMITS = SETUP["limits"]
UPLOADS = Path("uploads")
VERSION = "8"
PROBLEMS = "https://iana.org/assignments/http-problem-types#"


class Rejected(Exception):
    """An answer that is no success."""

    def __init__(self, status, title, problem=None, headers=(), **members):
        super().__init__(title)
        about = {"type": PROBLEMS + problem} if problem else {}
        self.status = status
        self.body = json.dumps({**about, "title": title, **members}).encode()
        self.headers = [("Content-Type", "application/problem+json"), *headers]


class Upload:
    """The state of one upload (section 4.1)."""

    def __init__(self, name):
        self.name = name
        self.content = UPLOADS / name
        self.state = UPLOADS / f"{name}.json"

    @classmethod
    def of(cls, path):
        found = re.fullmatch("/uploads/([0-9a-f]+)", path)
        upload = found and cls(found[1])
        if not upload or not upload.state.exists():
            raise Rejected(404, "no such upload")
        return upload

    def read(self):
        return json.loads(self.state.read_text())

    def write(self, state):
        fresh = self.state.with_suffix(".new")
        fresh.write_text(json.dumps(state))
        fresh.rename(self.state)

    def offset(self):
        return self.content.stat().st_size

    def deactivate(self):
        self.state.unlink(missing_ok=True)
        self.content.unlink(missing_ok=True)


class Turns:
    """One request at a time for an upload; a new one ends the one before it (section 4.6)."""

    def __init__(self):
        self.lock = threading.Lock()
        self.ongoing = {}

    @contextlib.contextmanager
    def of(self, name, connection):
        turn = (connection, threading.Event())
        with self.lock:
            before = self.ongoing.get(name)
            self.ongoing[name] = turn
        if before:
            with contextlib.suppress(OSError):
                before[0].shutdown(socket.SHUT_RDWR)
            before[1].wait()
        try:
            yield
        finally:
            turn[1].set()
            with self.lock:
                if self.ongoing.get(name) is turn:
                    del self.ongoing[name]


TURNS = Turns()


def limits():
    return [("Upload-Limit", ", ".join(f"{name}={value}" for name, value in LIMITS.items()))] if LIMITS else []


def boolean(value):
    return f"?{int(value)}"


class Draft(loopback.Handler):
    def do_OPTIONS(self):
        self.answer(204, headers=[("Accept-Patch", "application/partial-upload"), *limits()])

    def do_POST(self):
        self.guarded(self.create)

    do_PUT = do_POST

    def do_HEAD(self):
        self.guarded(self.tell)

    def do_PATCH(self):
        self.guarded(self.append)

    def do_DELETE(self):
        self.guarded(self.cancel)

    def do_GET(self):
        """The processed representation, for those who want to see it."""
        self.guarded(lambda: self.answer(200, Upload.of(self.path).content.read_bytes()))

    def guarded(self, work):
        try:
            work()
        except Rejected as rejected:
            with open("violations.log", "a") as log:
                log.write(f"{self.command} {rejected.status} {rejected}\n")
            # What is left of the body is not read.
            self.close_connection = True
            self.answer(rejected.status, rejected.body, rejected.headers)

    # The fields of section 4.1: a value of another type makes the field as if it were not there.

    def field_integer(self, name):
        value = self.headers.get(name, "")
        return int(value) if re.fullmatch("[0-9]{1,15}", value) else None

    def field_complete(self):
        return {"?0": False, "?1": True}.get(self.headers.get("Upload-Complete", ""))

    def length(self, offset, completes):
        """The length that this request indicates, in one or two ways (section 4.1.3)."""
        told = self.field_integer("Upload-Length")
        content = self.field_integer("Content-Length")
        counted = offset + content if completes and content is not None else None
        if told is not None and counted is not None and told != counted:
            raise Rejected(400, "inconsistent length values for upload", "inconsistent-upload-length")
        return told if counted is None else counted

    def check_limits(self, length, completes):
        content = self.field_integer("Content-Length") or 0
        if length is not None and length > LIMITS.get("max-size", length):
            raise Rejected(413, "larger than max-size", headers=limits())
        if content > LIMITS.get("max-append-size", content):
            raise Rejected(413, "larger than max-append-size", headers=limits())
        if not completes and 0 < content < LIMITS.get("min-append-size", 0):
            raise Rejected(400, "smaller than min-append-size", headers=limits())

    def create(self):
        if not self.path.startswith("/files"):
            raise Rejected(404, "no resource of that name")
        completes = self.field_complete()
        if completes is None and SETUP["required"]:
            raise Rejected(400, "Upload-Complete is missing")
        length = self.length(0, completes)
        self.check_limits(length, completes)
        if length is not None and length < LIMITS.get("min-size", 0):
            raise Rejected(400, "smaller than min-size", headers=limits())
        upload = Upload(secrets.token_hex(16))
        upload.content.touch()
        kept = ("content-type", "content-disposition", "content-encoding", "repr-digest")
        about = {name: self.headers[name] for name in kept if name in self.headers}
        upload.write({"length": length, "complete": False, "about": about})
        location = f"/uploads/{upload.name}"
        if SETUP["absolute"]:
            location = f"http://{self.headers['Host']}{location}"
        self.location = [("Location", location)]
        if completes is not None:
            self.interim([*self.location, *limits()])
        with TURNS.of(upload.name, self.connection):
            self.take(upload, completes is not False)

    def tell(self):
        upload = Upload.of(self.path)
        with TURNS.of(upload.name, self.connection):
            state = upload.read()
            headers = [
                ("Upload-Offset", str(upload.offset())),
                ("Upload-Complete", boolean(state["complete"])),
                ("Cache-Control", "no-store"),
                *limits(),
            ]
            if state["length"] is not None:
                headers.append(("Upload-Length", str(state["length"])))
            self.answer(204, headers=headers)

    def append(self):
        upload = Upload.of(self.path)
        with TURNS.of(upload.name, self.connection):
            state = Upload.of(self.path).read()
            completes, offset = self.field_complete(), self.field_integer("Upload-Offset")
            if self.headers.get("Content-Type") != "application/partial-upload":
                raise Rejected(415, "application/partial-upload is wanted")
            if completes is None or offset is None:
                raise Rejected(400, "Upload-Complete or Upload-Offset is missing")
            if state["complete"]:
                raise Rejected(400, "upload is already completed", "completed-upload")
            if offset != upload.offset():
                told = {"expected-offset": upload.offset(), "provided-offset": offset}
                headers = [("Upload-Offset", str(upload.offset()))]
                title = "offset from request does not match offset of resource"
                raise Rejected(409, title, "mismatching-upload-offset", headers, **told)
            length = self.length(offset, completes)
            if None not in (length, state["length"]) and length != state["length"]:
                raise Rejected(400, "inconsistent length values for upload", "inconsistent-upload-length")
            self.check_limits(length, completes)
            if length is not None:
                upload.write({**state, "length": length})
            self.location = []
            self.take(upload, completes)

    def cancel(self):
        upload = Upload.of(self.path)
        with TURNS.of(upload.name, self.connection):
            upload.deactivate()
            self.answer(204)

    def take(self, upload, completes):
        """Appends the content as it comes, so that what came before a break stays, and answers."""
        state = upload.read()
        start = offset = upload.offset()
        digest, told = hashlib.sha256(), offset
        with open(upload.content, "ab", buffering=0) as file:
            for piece in self.pieces():
                file.write(piece)
                digest.update(piece)
                offset += len(piece)
                if offset > (offset if state["length"] is None else state["length"]):
                    upload.deactivate()
                    raise Rejected(400, "more than its length", "inconsistent-upload-length")
                if SETUP["progress"] and offset - told >= SETUP["progress"]:
                    told = offset
                    self.interim([("Upload-Offset", str(offset))])
            if not self.is_digest(self.headers.get("Content-Digest"), digest):
                file.truncate(start)
                raise Rejected(400, "Content-Digest does not match")
        headers = [*self.location, *limits()]
        if not completes:
            headers += [("Upload-Complete", "?0"), ("Upload-Offset", str(offset))]
            return self.answer(201 if self.location else 204, headers=headers)
        if state["length"] not in (None, offset):
            raise Rejected(400, "inconsistent length values for upload", "inconsistent-upload-length")
        whole = hashlib.sha256(upload.content.read_bytes())
        if not self.is_digest(state["about"].get("repr-digest"), whole):
            upload.deactivate()
            raise Rejected(400, "Repr-Digest does not match", headers=[("Upload-Complete", "?1")])
        upload.write({**state, "length": offset, "complete": True})
        headers += [("Upload-Complete", "?1"), ("Content-Type", "application/json")]
        self.answer(200, json.dumps({"id": upload.name, "size": offset}).encode(), headers)

    @staticmethod
    def is_digest(field, digest):
        """Whether a digest field has no SHA-256 or this one (RFC 9530)."""
        found = re.search("sha-256=:([^:]*):", field or "")
        return not found or found[1] == base64.b64encode(digest.digest()).decode()

    def interim(self, headers):
        """Only for those who speak the same version of the draft (its appendix B)."""
        if not SETUP["interim"] or self.headers.get("Upload-Draft-Interop-Version") != VERSION:
            return
        self.send_response_only(104, "Upload Resumption Supported")
        for name, value in [("Upload-Draft-Interop-Version", VERSION), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()


loopback.serve(int(sys.argv[1]), Draft)
