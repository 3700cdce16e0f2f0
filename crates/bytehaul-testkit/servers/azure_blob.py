"""azure-storage-blob, the official SDK, for a Blob server: makes SAS URLs, and looks at what became of them.

    python azure_blob.py ENDPOINT ACCOUNT KEY CONTAINER
"""

import base64
import datetime
import sys

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobSasPermissions, BlobServiceClient, generate_blob_sas

import helper

endpoint, account, key, container = sys.argv[1:]
# An address tells no account, so it is named.
credential = {"account_name": account, "account_key": key}
service = BlobServiceClient(endpoint, credential=credential, connection_timeout=5, read_timeout=20)


def sas(blob, permissions, begins, expires):
    """The query of a URL for one blob; both times are seconds from now."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return generate_blob_sas(
        account,
        container,
        blob,
        account_key=key,
        permission=BlobSasPermissions.from_string(permissions),
        start=now + datetime.timedelta(seconds=begins),
        expiry=now + datetime.timedelta(seconds=expires),
    )


def refusing(work):
    def done(**arguments):
        try:
            return work(**arguments)
        except HttpResponseError as error:
            raise helper.Refused(error.error_code or error.status_code) from None

    return done


def blob_of(blob):
    return service.get_blob_client(container, blob)


@refusing
def save(blob, to):
    with open(to, "wb") as file:
        blob_of(blob).download_blob().readinto(file)


@refusing
def store(blob, path):
    with open(path, "rb") as file:
        blob_of(blob).upload_blob(file, overwrite=True)


@refusing
def store_in_blocks(blob, path, block):
    """By the SDK's own way for large ones."""
    of = {"credential": credential, "max_single_put_size": block, "max_block_size": block}
    with BlobServiceClient(endpoint, **of) as service, open(path, "rb") as file:
        to = service.get_blob_client(container, blob)
        to.upload_blob(file, overwrite=True, max_concurrency=3)


@refusing
def blocks(blob):
    listed = blob_of(blob).get_block_list("all")
    # The SDK decodes the ids; on the wire they are base64.
    encoded = [[[base64.b64encode(block.id.encode()).decode(), block.size] for block in some] for some in listed]
    return encoded


@refusing
def properties(blob):
    found = blob_of(blob).get_blob_properties()
    settings = found.content_settings
    return {
        "size": found.size,
        "etag": found.etag,
        "contentType": settings.content_type,
        "contentMd5": settings.content_md5,
        "metadata": found.metadata,
    }


@refusing
def blobs():
    return [blob.name for blob in service.get_container_client(container).list_blobs()]


service.create_container(container)
helper.answers(
    {
        "sas": sas,
        "save": save,
        "store": store,
        "store_in_blocks": store_in_blocks,
        "blocks": blocks,
        "properties": properties,
        "blobs": blobs,
    }
)
