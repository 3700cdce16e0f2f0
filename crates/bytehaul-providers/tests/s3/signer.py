"""Amazon's own signer, from botocore: reads one request a line, as JSON, and writes what it makes of each."""

import datetime
import json
import sys
from types import SimpleNamespace

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode, percent_encode_sequence


def request(given, body):
    """The URL is made here too, from key and parameters as they are."""
    url = given["endpoint"] + percent_encode(given["path"], safe="/~")
    if given["query"]:
        url += "?" + percent_encode_sequence(given["query"])
    made = AWSRequest(method=given["method"], url=url, data=body)
    for name, value in given["headers"]:
        made.headers.add_header(name, value)
    s3 = {"payload_signing_enabled": given["signs_payload"]}
    made.context["client_config"] = SimpleNamespace(s3=s3)
    return made


for line in sys.stdin:
    given = json.loads(line)
    now = datetime.datetime.fromtimestamp(given["now"], datetime.timezone.utc)
    botocore.auth.get_current_datetime = lambda *_, **__: now
    credentials = Credentials("AKIDTEST", "secrettest/secret+test", given["token"])
    by_field = request(given, given["body"].encode())
    url = by_field.url
    botocore.auth.S3SigV4Auth(credentials, "s3", given["region"]).add_auth(by_field)
    # A body would be put into the query.
    by_query = request(given, b"")
    botocore.auth.S3SigV4QueryAuth(credentials, "s3", given["region"], expires=given["life"]).add_auth(by_query)
    fields = {name.lower(): value for name, value in by_field.headers.items()}
    names = ["authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"]
    print(json.dumps({"url": url, "fields": {name: fields.get(name) for name in names}, "presigned": by_query.url}))
