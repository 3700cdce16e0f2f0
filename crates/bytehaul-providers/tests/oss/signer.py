"""Alibaba's own signer, from alibabacloud-oss-v2: reads one request a line, as JSON, and writes what it makes of each."""

import datetime
import json
import sys
from urllib.parse import quote

from alibabacloud_oss_v2.signer import SignerV4
from alibabacloud_oss_v2.types import Credentials, HttpRequest, SigningContext


def url_of(given):
    """The URL is made here too, from key and parameters as they are."""
    url = given["endpoint"] + quote(given["key"] or "", safe="/")
    pairs = [quote(name, safe="") + (f"={quote(value, safe='')}" if value else "") for name, value in given["query"]]
    return url + ("?" + "&".join(pairs) if pairs else "")


def context(given, now):
    request = HttpRequest(given["method"], url_of(given), dict(given["headers"]))
    made = SigningContext(
        product="oss",
        region=given["region"],
        bucket=given["bucket"],
        key=given["key"],
        request=request,
        credentials=Credentials("LTAItest", "secrettest/secret+test", given["token"]),
        additional_headers=set(given["additional"]),
        signing_time=now,
    )
    made.expiration_time = now + datetime.timedelta(seconds=given["life"])
    return made


for line in sys.stdin:
    given = json.loads(line)
    now = datetime.datetime.fromtimestamp(given["now"], datetime.timezone.utc)
    by_field, by_query = context(given, now), context(given, now)
    url = by_field.request.url
    SignerV4().sign(by_field)
    by_query.auth_method_query = True
    SignerV4().sign(by_query)
    fields = {name.lower(): value for name, value in by_field.request.headers.items()}
    names = ["authorization", "x-oss-content-sha256", "x-oss-date", "x-oss-security-token"]
    print(
        json.dumps(
            {"url": url, "fields": {name: fields.get(name) for name in names}, "presigned": by_query.request.url}
        )
    )
