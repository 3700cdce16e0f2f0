"""The signatures of azure-storage-blob, the official SDK, for requests that come in as lines of JSON."""

import datetime
import json
import sys
from types import SimpleNamespace

from azure.core.pipeline.transport import HttpRequest
from azure.storage.blob import BlobClient
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy
from azure.storage.blob._shared_access_signature import BlobSharedAccessSignature


def time(seconds):
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def shared_key(account, key, method, url, fields):
    # This policy looks for the range under a name of its own.
    headers = {"byte_range" if name == "range" else name: value for name, value in fields}
    request = HttpRequest(method, url, headers=headers)
    policy = SharedKeyCredentialPolicy(account, key)
    policy.on_request(SimpleNamespace(http_request=request, context=SimpleNamespace(transport=None)))
    return request.headers["Authorization"]


def sas(account, key, version, container, blob, permissions, starts, expires, protocol, more):
    signer = BlobSharedAccessSignature(account, key)
    signer.x_ms_version = version
    arguments = dict(permission=permissions, start=time(starts), expiry=time(expires), protocol=protocol, **more)
    if blob is None:
        return signer.generate_container(container, **arguments)
    return signer.generate_blob(container, blob, **arguments)


def url(endpoint, container, blob):
    return BlobClient(endpoint, container, blob).url


ANSWERS = {"shared_key": shared_key, "sas": sas, "url": url}
for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps(ANSWERS[question.pop("ask")](**question)))
