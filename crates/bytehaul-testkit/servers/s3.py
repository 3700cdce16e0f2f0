"""boto3, the official SDK, for an S3 server: presigns URLs, and looks at what became of them.

    python s3.py ENDPOINT PRESIGNED-ENDPOINT ACCESS-KEY SECRET-KEY BUCKET
"""

import sys
import time

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

import helper

endpoint, presigned, access_key, secret_key, bucket = sys.argv[1:]


def client(url):
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            proxies={},
            connect_timeout=5,
            read_timeout=20,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


direct, signing = client(endpoint), client(presigned)


def presign(operation, each, expires):
    """One URL for each set of parameters; a part of a thousand must not cost a thousand questions."""
    return [
        signing.generate_presigned_url(operation, Params={"Bucket": bucket, **params}, ExpiresIn=expires)
        for params in each
    ]


def call(operation, params):
    """Any operation of the client by its name there; the metadata of the answer is left out, bodies are to be saved."""
    try:
        answer = getattr(direct, operation)(Bucket=bucket, **params)
    except ClientError as error:
        raise helper.Refused(error.response["Error"]["Code"]) from None
    answer.pop("ResponseMetadata", None)
    return answer


def save(key, to):
    body = call("get_object", {"Key": key})["Body"]
    with open(to, "wb") as file:
        for piece in body.iter_chunks(1 << 20):
            file.write(piece)


def store(key, path):
    with open(path, "rb") as file:
        call("put_object", {"Key": key, "Body": file})


def store_in_parts(key, path, part):
    """By the SDK's own transfer manager."""
    of = TransferConfig(
        multipart_threshold=part, multipart_chunksize=part, max_concurrency=3, preferred_transfer_client="classic"
    )
    direct.upload_file(path, bucket, key, Config=of)


def every(operation, field, params):
    """All pages of a list."""
    try:
        pages = direct.get_paginator(operation).paginate(Bucket=bucket, **params)
        return [one for page in pages for one in page.get(field, [])]
    except ClientError as error:
        raise helper.Refused(error.response["Error"]["Code"]) from None


def make_bucket():
    """The port is open a moment before there is anything behind it."""
    for patience in range(100):
        try:
            direct.create_bucket(Bucket=bucket)
            return
        except direct.exceptions.BucketAlreadyOwnedByYou:
            # An earlier try went through, only its answer did not.
            return
        except (ClientError, HTTPClientError):
            if patience == 99:
                raise
            time.sleep(0.1)


make_bucket()
asked = [presign, call, save, store, store_in_parts, every]
helper.answers({one.__name__: one for one in asked})
