"""alibabacloud-oss-v2, the official SDK, for an OSS server: presigns URLs, and looks at what became of them.

    python oss_sdk.py ENDPOINT PRESIGNED-ENDPOINT REGION ACCESS-KEY SECRET-KEY BUCKET [TOKEN]
"""

import datetime
import sys

import alibabacloud_oss_v2 as oss
from alibabacloud_oss_v2.credentials import StaticCredentialsProvider

import helper

endpoint, presigned, region, access_key, secret_key, bucket, *token = sys.argv[1:]


def client(url):
    return oss.Client(
        oss.config.Config(
            region=region,
            endpoint=url,
            credentials_provider=StaticCredentialsProvider(access_key, secret_key, *token),
            use_path_style=True,
            retry_max_attempts=1,
            connect_timeout=5,
            readwrite_timeout=20,
        )
    )


direct, signing = client(endpoint), client(presigned)


def refusing(work):
    def done(**arguments):
        try:
            return work(**arguments)
        except oss.exceptions.OperationError as error:
            cause = error.unwrap()
            if isinstance(cause, oss.exceptions.ServiceError):
                raise helper.Refused(cause.code) from None
            raise

    return done


def presign(operation, each, expires):
    """One URL for each set of parameters, for an operation by the name of its request without `Request`."""
    make = getattr(oss, f"{operation}Request")
    life = datetime.timedelta(seconds=expires)
    return [signing.presign(make(bucket=bucket, **params), expires=life).url for params in each]


@refusing
def save(key, to):
    body = direct.get_object(oss.GetObjectRequest(bucket=bucket, key=key)).body
    with open(to, "wb") as file:
        for piece in body.iter_bytes(block_size=1 << 20):
            file.write(piece)


@refusing
def store(key, path):
    """In one request, whose CRC the SDK compares."""
    with open(path, "rb") as file:
        direct.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=file))


@refusing
def store_in_parts(key, path, part):
    """By the SDK's own transfer manager."""
    uploader = direct.uploader(part_size=part, parallel_num=3)
    uploader.upload_file(oss.PutObjectRequest(bucket=bucket, key=key), path)


@refusing
def head(key):
    found = direct.head_object(oss.HeadObjectRequest(bucket=bucket, key=key))
    return {
        "size": found.content_length,
        "etag": found.etag,
        "contentType": found.content_type,
        "crc64": found.hash_crc64,
        "type": found.object_type,
        "metadata": dict(found.metadata or {}),
    }


@refusing
def create(key):
    return direct.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(bucket=bucket, key=key)).upload_id


@refusing
def abort(key, upload):
    direct.abort_multipart_upload(oss.AbortMultipartUploadRequest(bucket=bucket, key=key, upload_id=upload))


@refusing
def parts(key, upload):
    pages = direct.list_parts_paginator().iter_page(oss.ListPartsRequest(bucket=bucket, key=key, upload_id=upload))
    return [[part.part_number, part.size, part.etag] for page in pages for part in page.parts or []]


@refusing
def uploads():
    request = oss.ListMultipartUploadsRequest(bucket=bucket, encoding_type="url")
    pages = direct.list_multipart_uploads_paginator().iter_page(request)
    return [[one.key, one.upload_id] for page in pages for one in page.uploads or []]


asked = [save, store, store_in_parts, head, create, abort, parts, uploads]
names = ["save", "store", "store_in_parts", "head", "create", "abort", "parts", "uploads"]
helper.answers({"presign": presign, **dict(zip(names, asked))})
