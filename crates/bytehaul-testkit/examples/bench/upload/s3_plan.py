"""Begins a multipart upload by boto3, and prints the plan that a back end would hand out for it.

    python s3_plan.py ENDPOINT ACCESS-KEY SECRET-KEY BUCKET KEY TOTAL-SIZE PART-SIZE
"""

import json
import sys

import boto3
from botocore.config import Config

endpoint, access_key, secret_key, bucket, key, total, size = sys.argv[1:]
total, size = int(total), int(size)
client = boto3.client(
    "s3",
    endpoint_url=endpoint,
    aws_access_key_id=access_key,
    aws_secret_access_key=secret_key,
    region_name="us-east-1",
    config=Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        proxies={},
        request_checksum_calculation="when_required",
    ),
)
upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]


def signed(operation, **params):
    return client.generate_presigned_url(operation, Params={"Bucket": bucket, "Key": key, **params}, ExpiresIn=86400)


def part(number, offset):
    return {
        "part_number": number,
        "offset": offset,
        "size": min(size, total - offset),
        "url": signed("upload_part", UploadId=upload, PartNumber=number),
    }


plan = {
    "upload_id": upload,
    "total_size": total,
    "chunk_size": size,
    "parts": [part(number, offset) for number, offset in enumerate(range(0, total, size), 1)],
    "complete_request": {
        "url": signed("complete_multipart_upload", UploadId=upload),
        "body_format": "s3",
    },
    "abort_request": {"url": signed("abort_multipart_upload", UploadId=upload)},
    "head_request": {"url": signed("head_object")},
}
print(json.dumps(plan))
