"""A server of the form protocol, written from its contract alone (`bytehaul_testkit::uploads::FormServer` has it in words).

    python form.py PORT        in a directory with `setup.json` and `uploads/`

It is strict: what the contract does not allow draws a 400 with the reason, which `violations.log` gets too. The files
`uploads/MD5.part` and `uploads/MD5` are the uploads that are not complete and those that are; `setup.json` is read anew for
each request. Both may be changed from outside while it runs.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
import threading
from pathlib import Path

import loopback

PREPARE = ["fileMd5", "fileName", "category", "totalSize"]
CHUNK = ["file", "fileMd5", "fileName", "category", "offset", "partSize", "totalSize"]
UPLOADS = Path("uploads")


class Violation(Exception):
    """A request that the contract does not allow."""


def demand(holds, reason):
    if not holds:
        raise Violation(reason)


def parts(content_type, body):
    """Names, headers and contents of a `multipart/form-data` body, in their order (RFC 7578, RFC 2046 section 5.1)."""
    found = re.fullmatch(r'multipart/form-data; ?boundary=(?:"([^"]{1,70})"|([^\s";]{1,70}))', content_type)
    demand(found, f"content type {content_type!r}")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode()
    body = b"\r\n" + body
    demand(body.startswith(delimiter + b"\r\n"), "the body does not begin with its boundary")
    end = delimiter + b"--"
    demand(body.endswith((end, end + b"\r\n")), "the body does not end with its boundary")
    body = body[: body.rindex(end)]
    for part in body.split(delimiter)[1:]:
        demand(part.startswith(b"\r\n"), "a boundary is not a line")
        head, there, content = part[2:].partition(b"\r\n\r\n")
        demand(there, "a part without the end of its head")
        lines = [line.partition(":") for line in head.decode().split("\r\n")]
        headers = {name.lower(): value.strip() for name, _, value in lines}
        demand(len(headers) == len(lines), "a header of a part comes twice")
        disposition = headers.pop("content-disposition", "")
        named = re.fullmatch(r'form-data; name="([A-Za-z0-9]+)"(.*)', disposition)
        demand(named, f"disposition {disposition!r}")
        yield named[1], named[2], headers, content


def fields(content_type, body):
    """The fields of a request, checked as far as one request can be checked."""
    order, values = [], {}
    for name, more, headers, content in parts(content_type, body):
        order.append(name)
        if name == "file":
            demand(more == '; filename="upload_chunk_data"', f"file part {more!r}")
            demand(headers == {"content-type": "application/octet-stream"}, f"file part {headers!r}")
            values[name] = content
            continue
        demand(more == "", f"text part {name}{more!r}")
        demand(set(headers) <= {"content-type"}, f"text part {headers!r}")
        demand(headers.get("content-type", "text/plain").startswith("text/plain"), f"text part {headers!r}")
        values[name] = content.decode()
    demand(order in (PREPARE, CHUNK), f"fields {order}")
    for name in ("totalSize", "offset", "partSize"):
        if name in values:
            demand(re.fullmatch("0|[1-9][0-9]{0,18}", values[name]), f"{name} is {values[name]!r}")
            values[name] = int(values[name])
    demand(re.fullmatch("[0-9a-f]{32}", values["fileMd5"]), f"fileMd5 is {values['fileMd5']!r}")
    demand(values["fileName"], "fileName is empty")
    return values


class Uploads:
    """What is known of each upload beside its bytes."""

    def __init__(self):
        self.lock = threading.Lock()
        self.prepared = {}
        self.busy = set()

    @contextlib.contextmanager
    def alone(self, md5):
        with self.lock:
            demand(md5 not in self.busy, f"two requests for {md5} at the same time")
            self.busy.add(md5)
        try:
            yield
        finally:
            with self.lock:
                self.busy.discard(md5)


UPLOADS_KNOWN = Uploads()


def about(values):
    return {name: values[name] for name in PREPARE}


def prepare(values, setup):
    md5 = values["fileMd5"]
    UPLOADS_KNOWN.prepared[md5] = about(values)
    if (UPLOADS / md5).exists():
        return complete(md5, setup)
    partial = UPLOADS / f"{md5}.part"
    partial.touch()
    size = partial.stat().st_size
    if size == values["totalSize"]:
        return finish(values, setup)
    return next_byte(size, setup)


def chunk(values, setup):
    md5, offset, data = values["fileMd5"], values["offset"], values["file"]
    demand(UPLOADS_KNOWN.prepared.get(md5) == about(values), "a chunk of what was not prepared so")
    demand(len(data) == values["partSize"], f"partSize is {values['partSize']}, the part has {len(data)}")
    demand(data, "an empty chunk")
    demand(offset + len(data) <= values["totalSize"], "a chunk beyond the end")
    if (UPLOADS / md5).exists():
        # The last answer may have been lost: what is sent again has to be the same.
        demand((UPLOADS / md5).read_bytes()[offset : offset + len(data)] == data, "a chunk came again and differs")
        return complete(md5, setup)
    with open(UPLOADS / f"{md5}.part", "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        demand(offset <= size, f"a gap: offset {offset} after {size} bytes")
        demand(size <= offset + len(data), f"offset {offset} though {size} bytes are there")
        file.seek(offset)
        demand(file.read(size - offset) == data[: size - offset], "a chunk came again and differs")
        kept = data[: setup["keep"]] if setup["keep"] else data
        file.seek(offset)
        file.truncate(max(size, offset + len(kept)))
        file.write(kept)
        size = file.seek(0, os.SEEK_END)
    if size == values["totalSize"]:
        return finish(values, setup)
    return next_byte(size, setup)


def finish(values, setup):
    md5 = values["fileMd5"]
    partial = UPLOADS / f"{md5}.part"
    found = hashlib.md5(partial.read_bytes()).hexdigest()
    if found != md5:
        partial.unlink()
        raise Violation(f"the content has the MD5 {found}, not {md5}")
    partial.rename(UPLOADS / md5)
    return complete(md5, setup)


def complete(md5, setup):
    if setup["fileId"] is None:
        return b""
    return json.dumps({"fileId": setup["fileId"].replace("{md5}", md5), "unknown": [1]}).encode()


def next_byte(size, setup):
    """A blank body says the same as the number that the client expects anyway."""
    return b" \r\n" if setup["blank"] else json.dumps({"nextByte": size}).encode()


class Form(loopback.Handler):
    def take(self):
        setup = json.loads(Path("setup.json").read_text())
        try:
            length = self.headers.get("Content-Length", "")
            demand("Transfer-Encoding" not in self.headers, "the length is not told")
            demand(re.fullmatch("[1-9][0-9]*", length), f"the length is {length!r}")
            demand(self.path == "/upload?of=tests", f"path {self.path}")
            body = b"".join(self.pieces())
            demand(self.command == setup["method"], f"method {self.command}")
            for name, value in setup["headers"].items():
                demand(self.headers.get(name) == value, f"header {name} is {self.headers.get(name)!r}")
            values = fields(self.headers.get("Content-Type", ""), body)
            with UPLOADS_KNOWN.alone(values["fileMd5"]):
                said = (chunk if "file" in values else prepare)(values, setup)
        except (Violation, UnicodeDecodeError) as violation:
            with open("violations.log", "a") as log:
                log.write(f"{violation}\n")
            self.close_connection = True
            return self.answer(400, f"{violation}\n".encode())
        self.answer(setup["status"], said, [("Content-Type", "application/json")])

    do_POST = do_PUT = do_PATCH = take


loopback.serve(int(sys.argv[1]), Form)
