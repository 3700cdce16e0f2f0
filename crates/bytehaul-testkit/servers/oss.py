"""A server of Aliyun OSS, written from its public documentation (`bytehaul_testkit::uploads::OssServer` has its limits in words).

    python oss.py PORT        in a directory with `setup.json`

Signatures (OSS4-HMAC-SHA256, in fields and in URLs) are made again from what arrived, by the official SDK's own signer. `setup.json`
is read anew for each request. `objects/HASH.{json,bin}` and `uploads/ID/{upload.json,N.json,N.bin}` are what was stored.
"""

import base64
import datetime
import email.utils
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote, unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import loopback
from alibabacloud_oss_v2.crc import Crc64
from alibabacloud_oss_v2.signer import SignerV4
from alibabacloud_oss_v2.types import Credentials, HttpRequest, SigningContext

ALGORITHM = "OSS4-HMAC-SHA256"
KEPT = {"cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"}
OBJECTS, UPLOADS = Path("objects"), Path("uploads")
# What is renamed into place, and what is read to be joined, must not change meanwhile.
LOCK = threading.RLock()


class Refused(Exception):
    """An error as OSS says it."""

    def __init__(self, status, code, ec="", **more):
        super().__init__(code)
        self.status, self.code, self.ec, self.more = status, code, ec, more


def xml(tag, *inner):
    """An element of elements, or of text."""
    text = "".join(part if part.startswith("<") else escape(part) for part in map(str, inner))
    return f"<{tag}>{text}</{tag}>"


def document(tag, *inner):
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + xml(tag, *inner)).encode()


def stamp(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def now():
    return time.time() + setup()["clock"]


def setup():
    return json.loads(Path("setup.json").read_text())


# Signatures


def by_field(headers):
    found = re.fullmatch(ALGORITHM + r" +(.+)", headers["authorization"])
    pairs = [part.strip().partition("=") for part in found[1].split(",")] if found else []
    said = {name: value for name, _, value in pairs}
    if not {"Credential", "Signature"} <= set(said):
        raise Refused(400, "InvalidArgument", "0002-00000203")
    if headers.get("x-oss-content-sha256") != "UNSIGNED-PAYLOAD":
        raise Refused(400, "InvalidArgument", "0002-00000214")
    more = said.get("AdditionalHeaders", "")
    return said["Credential"], said["Signature"], more, headers.get("x-oss-date", ""), None


def by_query(query):
    if query.get("x-oss-signature-version") != ALGORITHM:
        raise Refused(400, "InvalidArgument")
    life = query.get("x-oss-expires", "")
    if not re.fullmatch("[0-9]{1,6}", life) or not 1 <= int(life) <= 604800:
        raise Refused(400, "InvalidArgument", "0002-00000215")
    names = ["x-oss-credential", "x-oss-signature", "x-oss-additional-headers", "x-oss-date"]
    return *(query.get(name, "") for name in names), int(life)


def authenticate(method, pairs, headers, bucket, key):
    """Passes if the request has a signature that is right and in time."""
    query, known = dict(pairs), setup()
    if "x-oss-signature" in query:
        credential, signature, more, date, life = by_query(query)
    elif "authorization" in headers:
        credential, signature, more, date, life = by_field(headers)
    else:
        raise Refused(403, "AccessDenied", "0003-00000001")
    scope = credential.split("/")
    if len(scope) != 5 or scope[3:] != ["oss", "aliyun_v4_request"] or scope[1] != date[:8]:
        raise Refused(400, "InvalidArgument")
    if scope[2] != known["region"]:
        raise Refused(400, "InvalidArgument", "0002-00000226")
    if scope[0] != known["access_key"]:
        raise Refused(403, "InvalidAccessKeyId", "0002-00000902")
    try:
        when = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        raise Refused(403, "AccessDenied", "0002-00000301") from None
    if life is None and abs(when.timestamp() - now()) > 900:
        raise Refused(403, "RequestTimeTooSkewed", "0002-00000504", ServerTime=stamp(now()))
    token = query.get("x-oss-security-token") or headers.get("x-oss-security-token")
    if token != known["token"]:
        raise Refused(403, "InvalidSecurityToken" if token else "AccessDenied")
    signed = sign(method, pairs, headers, bucket, key, when, life, more, known)
    if not hmac.compare_digest(signed, signature):
        raise Refused(403, "SignatureDoesNotMatch", "0002-00000201", SignatureProvided=signature)
    if life is not None and now() >= when.timestamp() + life:
        raise Refused(403, "AccessDenied", "0002-00000069", ServerTime=stamp(now()))


def sign(method, pairs, headers, bucket, key, when, life, more, known):
    """The signature that the SDK makes of what arrived. It signs a query as it stands, so that is encoded anew."""
    rest = [(name, value) for name, value in pairs if name != "x-oss-signature"]
    encoded = [quote(name, safe="") + (f"={quote(value, safe='')}" if value else "") for name, value in rest]
    names = {name for name in more.lower().split(";") if name}
    always = ("content-type", "content-md5")
    kept = {k: v for k, v in headers.items() if k.startswith("x-oss-") or k in always or k in names}
    token = known["token"]
    context = SigningContext(
        product="oss",
        region=known["region"],
        bucket=bucket or None,
        key=key or None,
        request=HttpRequest(method, "http://oss/?" + "&".join(encoded), kept),
        credentials=Credentials(known["access_key"], known["secret_key"], token),
        additional_headers=names,
        signing_time=when,
    )
    if life is not None:
        context.auth_method_query = True
        context.expiration_time = when + datetime.timedelta(seconds=life)
    SignerV4().sign(context)
    made = context.request.headers.get("Authorization") if life is None else context.request.url
    return re.search("[sS]ignature=([0-9a-f]{64})$", made)[1]


# What is stored


def read(path):
    return json.loads(path.read_text())


def store(temporary, path, about):
    """Bytes and what is known of them, in place together."""
    with LOCK:
        aside = temporary.with_suffix(".about")
        aside.write_text(json.dumps(about))
        os.replace(temporary, path.with_suffix(".bin"))
        os.replace(aside, path.with_suffix(".json"))


def place(key):
    return OBJECTS / hashlib.sha256(key.encode()).hexdigest()


def object_of(key):
    try:
        return read(place(key).with_suffix(".json"))
    except FileNotFoundError:
        raise Refused(404, "NoSuchKey", "0026-00000001", Key=key) from None


def upload_of(key, upload):
    directory = UPLOADS / upload
    if re.fullmatch("[0-9A-F]{32}", upload) and (directory / "upload.json").exists():
        about = read(directory / "upload.json")
        if about["key"] == key:
            return directory, about
    raise Refused(404, "NoSuchUpload", "0042-00000002", UploadId=upload)


def parts_of(directory):
    with LOCK:
        files = [file for file in directory.glob("*.json") if file.stem.isdigit()]
        return {int(file.stem): read(file) for file in sorted(files, key=lambda file: int(file.stem))}


def span(text, size, standard):
    """First and last byte, or none for all of it: without the standard behaviour a range that leaves the object, even at its
    end, is no range."""
    found = re.fullmatch("bytes=([0-9]*)-([0-9]*)", text)
    if not found or not (found[1] or found[2]):
        return None
    if found[1]:
        first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    else:
        first, last = size - int(found[2]), size - 1
    if 0 <= first <= last < size:
        return first, last
    if not standard or (found[1] and found[2] and first > last):
        return None
    if first >= size:
        raise Refused(416, "InvalidRange", ActualObjectSize=size)
    return max(first, 0), min(last, size - 1)


class Oss(loopback.Handler):
    def take(self):
        self.fields = {name.lower(): value.strip() for name, value in self.headers.items()}
        path, _, query = self.path.partition("?")
        pairs = [pair.partition("=") for pair in query.split("&") if pair]
        pairs = [(unquote(name), unquote(value)) for name, _, value in pairs]
        self.query = dict(pairs)
        host = self.fields.get("host", "").partition(":")[0]
        bucket, key = unquote(path[1:]), ""
        if host.endswith(".localhost"):
            bucket, key = host.removesuffix(".localhost"), bucket
        else:
            bucket, _, key = bucket.partition("/")
        self.key, self.is_read = key, False
        try:
            authenticate(self.command, pairs, self.fields, bucket, key)
            if bucket != setup()["bucket"]:
                raise Refused(404, "NoSuchBucket", "0015-00000101", BucketName=bucket)
            self.route()()
        except Refused as refused:
            self.refuse(refused)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = take

    def route(self):
        if not self.key:
            routes = {("GET", "uploads"): self.list_uploads}
        else:
            routes = {
                ("POST", "uploads"): self.initiate,
                ("PUT", "uploadId"): self.put_part,
                ("GET", "uploadId"): self.list_parts,
                ("POST", "uploadId"): self.complete,
                ("DELETE", "uploadId"): self.abort,
                ("PUT", None): self.put_object,
                ("GET", None): self.get_object,
                ("HEAD", None): self.get_object,
            }
        what = next((name for name in ("uploads", "uploadId") if name in self.query), None)
        found = routes.get((self.command, what))
        if not found or "x-oss-copy-source" in self.fields or "append" in self.query:
            raise Refused(501, "NotImplemented")
        return found

    # Bodies and answers

    def receive(self, directory):
        """The body in a file: its path, size, MD5 and CRC."""
        if not {"content-length", "transfer-encoding"} & set(self.fields):
            raise Refused(411, "MissingContentLength")
        self.is_read = True
        md5, crc, size = hashlib.md5(), Crc64(0), 0
        file = directory / f"{secrets.token_hex(8)}.part"
        try:
            with open(file, "wb") as out:
                for piece in self.pieces():
                    out.write(piece)
                    md5.update(piece)
                    crc.update(piece)
                    size += len(piece)
            if self.fields.get("content-md5", base64.b64encode(md5.digest()).decode()) != base64.b64encode(
                md5.digest()
            ).decode():
                raise Refused(400, "InvalidDigest")
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return file, {"size": size, "etag": f'"{md5.hexdigest().upper()}"', "crc": str(crc.sum64())}

    def say(self, status, body=b"", headers=()):
        if not self.is_read:
            # What is not wanted is read all the same, or the connection is out of step.
            for _ in self.pieces():
                pass
        kind = [("Content-Type", "application/xml")] if body else []
        self.answer(status, body, [*self.common(), *kind, *headers])

    def common(self):
        date = email.utils.formatdate(now(), usegmt=True)
        return [("Date", date), ("x-oss-request-id", secrets.token_hex(12).upper())]

    def refuse(self, refused):
        more = [xml(name, value) for name, value in refused.more.items()]
        said = document("Error", xml("Code", refused.code), xml("Message", refused.code), *more, xml("EC", refused.ec))
        headers = [("x-oss-ec", refused.ec)] if refused.ec else []
        if self.command == "HEAD":
            headers.append(("x-oss-err", base64.b64encode(said).decode()))
            said = b""
        self.say(refused.status, said, headers)

    def name(self, text):
        return quote(text, safe="") if self.query.get("encoding-type") == "url" else text

    def described(self):
        fields = self.fields.items()
        return {name: value for name, value in fields if name in KEPT or name.startswith("x-oss-meta-")}

    def may_be_made(self):
        forbids = self.fields.get("x-oss-forbid-overwrite", "").lower() == "true"
        if forbids and place(self.key).with_suffix(".json").exists():
            raise Refused(409, "FileAlreadyExists", "0026-00000101")

    # Objects

    def put_object(self):
        self.may_be_made()
        file, about = self.receive(OBJECTS)
        about.update(key=self.key, type="Normal", at=now(), fields=self.described())
        store(file, place(self.key), about)
        self.say(200, b"", [("ETag", about["etag"]), ("x-oss-hash-crc64ecma", about["crc"])])

    def get_object(self):
        with LOCK:
            about = object_of(self.key)
            file = open(place(self.key).with_suffix(".bin"), "rb")
        with file:
            headers = [
                ("ETag", about["etag"]),
                ("Last-Modified", email.utils.formatdate(about["at"], usegmt=True)),
                ("x-oss-object-type", about["type"]),
                ("x-oss-hash-crc64ecma", about["crc"]),
                ("Accept-Ranges", "bytes"),
                *about["fields"].items(),
            ]
            same = self.fields.get("if-match", about["etag"]).strip('"').upper() == about["etag"].strip('"')
            if not same:
                raise Refused(412, "PreconditionFailed", Condition="If-Match")
            self.send(file, about["size"], headers)

    def send(self, file, size, headers):
        standard = self.fields.get("x-oss-range-behavior") == "standard"
        wanted = self.fields.get("range") if self.command == "GET" else None
        found = span(wanted, size, standard) if wanted else None
        first, last = found or (0, size - 1)
        if found:
            headers.append(("Content-Range", f"bytes {first}-{last}/{size}"))
        left = last + 1 - first
        self.send_response_only(206 if found else 200)
        for name, value in [*self.common(), *headers, ("Content-Length", str(left))]:
            self.send_header(name, value)
        self.end_headers()
        file.seek(first)
        while left and self.command == "GET":
            piece = file.read(min(left, 1 << 18))
            self.wfile.write(piece)
            left -= len(piece)
        self.wfile.flush()

    # Uploads

    def initiate(self):
        self.may_be_made()
        upload = secrets.token_hex(16).upper()
        (UPLOADS / upload).mkdir()
        about = {"key": self.key, "at": now(), "fields": self.described()}
        (UPLOADS / upload / "upload.json").write_text(json.dumps(about))
        names = xml("Key", self.name(self.key)), xml("UploadId", upload)
        self.say(200, document("InitiateMultipartUploadResult", *names))

    def put_part(self):
        upload, number = self.query["uploadId"], self.query.get("partNumber", "")
        directory, _ = upload_of(self.key, upload)
        if not re.fullmatch("[0-9]{1,5}", number) or not 1 <= int(number) <= 10000:
            raise Refused(400, "InvalidArgument", ArgumentName="partNumber")
        file, about = self.receive(directory)
        with LOCK:
            upload_of(self.key, upload)
            store(file, directory / str(int(number)), {**about, "at": now()})
        self.say(200, b"", [("ETag", about["etag"]), ("x-oss-hash-crc64ecma", about["crc"])])

    def list_parts(self):
        directory, _ = upload_of(self.key, self.query["uploadId"])
        most, marker = int(self.query.get("max-parts", 1000)), int(self.query.get("part-number-marker") or 0)
        parts = [(number, part) for number, part in parts_of(directory).items() if number > marker]
        shown = parts[: min(most, 1000)]
        each = [
            xml(
                "Part",
                xml("PartNumber", number),
                xml("LastModified", stamp(part["at"])),
                xml("ETag", part["etag"]),
                xml("HashCrc64ecma", part["crc"]),
                xml("Size", part["size"]),
            )
            for number, part in shown
        ]
        more = [
            xml("Key", self.name(self.key)),
            xml("UploadId", self.query["uploadId"]),
            xml("NextPartNumberMarker", shown[-1][0] if shown else 0),
            xml("IsTruncated", str(len(parts) > len(shown)).lower()),
        ]
        self.say(200, document("ListPartsResult", *more, *each))

    def list_uploads(self):
        marker = self.query.get("key-marker", ""), self.query.get("upload-id-marker", "")
        known = []
        for file in UPLOADS.glob("*/upload.json"):
            try:
                known.append((read(file), file.parent.name))
            except FileNotFoundError:
                # It has been completed or aborted meanwhile.
                continue
        known = sorted((about["key"], upload, about["at"]) for about, upload in known)
        known = [one for one in known if one[0].startswith(self.query.get("prefix", "")) and one[:2] > marker]
        shown = known[: min(int(self.query.get("max-uploads", 1000)), setup()["page"])]
        last = shown[-1] if shown else ("", "", 0)
        each = [
            xml("Upload", xml("Key", self.name(key)), xml("UploadId", upload), xml("Initiated", stamp(at)))
            for key, upload, at in shown
        ]
        more = [
            xml("EncodingType", self.query.get("encoding-type", "")),
            xml("NextKeyMarker", self.name(last[0])),
            xml("NextUploadIdMarker", last[1]),
            xml("IsTruncated", str(len(known) > len(shown)).lower()),
        ]
        self.say(200, document("ListMultipartUploadsResult", *more, *each))

    def wanted(self):
        """Numbers and tags of the parts that are to make the object."""
        self.is_read = True
        body = b"".join(self.pieces())
        try:
            parts = ElementTree.fromstring(body).findall("Part")
            found = [(int(part.findtext("PartNumber")), part.findtext("ETag").strip('"')) for part in parts]
        except (ElementTree.ParseError, AttributeError, TypeError, ValueError):
            found = []
        if not found:
            raise Refused(400, "MalformedXML")
        if [number for number, _ in found] != sorted({number for number, _ in found}):
            raise Refused(400, "InvalidPartOrder", "0042-00000209")
        return found

    def complete(self):
        upload = self.query["uploadId"]
        wanted = self.wanted()
        with LOCK:
            directory, begun = upload_of(self.key, upload)
            parts = parts_of(directory)
            self.may_be_made()
            for number, tag in wanted:
                if number not in parts or parts[number]["etag"].strip('"') != tag.upper():
                    raise Refused(400, "InvalidPart", PartNumber=number)
                if number != wanted[-1][0] and parts[number]["size"] < setup()["least"]:
                    raise Refused(400, "EntityTooSmall", "0042-00000213", PartNumber=number)
            about = self.join(directory, [(number, parts[number]) for number, _ in wanted])
            about.update(key=self.key, type="Multipart", at=now(), fields=begun["fields"])
            store(directory / "whole.part", place(self.key), about)
            shutil.rmtree(directory)
        names = xml("Key", self.name(self.key)), xml("ETag", about["etag"])
        headers = [("ETag", about["etag"]), ("x-oss-hash-crc64ecma", about["crc"])]
        self.say(200, document("CompleteMultipartUploadResult", *names), headers)

    def join(self, directory, parts):
        crc, size, tags = 0, 0, hashlib.md5()
        with open(directory / "whole.part", "wb") as whole:
            for number, part in parts:
                with open(directory / f"{number}.bin", "rb") as file:
                    shutil.copyfileobj(file, whole, 1 << 20)
                crc = Crc64.combine(crc, int(part["crc"]), part["size"])
                size += part["size"]
                tags.update(bytes.fromhex(part["etag"].strip('"')))
        return {"size": size, "etag": f'"{tags.hexdigest().upper()}-{len(parts)}"', "crc": str(crc)}

    def abort(self):
        with LOCK:
            directory, _ = upload_of(self.key, self.query["uploadId"])
            shutil.rmtree(directory)
        self.say(204)


for directory in (OBJECTS, UPLOADS):
    directory.mkdir(exist_ok=True)
loopback.serve(int(sys.argv[1]), Oss)
