"""Uploads a file in parts as boto3's users do, by its own transfer manager or by Amazon's C library.

    python s3_upload.py boto3|crt ENDPOINT ACCESS-KEY SECRET-KEY BUCKET KEY FILE PART-SIZE AT-ONCE

Neither signs the bytes themselves, since presigned URLs do not either. The C library adds a CRC-32 to each part, which it
cannot be told to leave out, and chooses itself how many it sends at once.
"""

import sys

from botocore.config import Config

manager, endpoint, access_key, secret_key, bucket, key, path, part_size, at_once = sys.argv[1:]
region, part_size, at_once = "us-east-1", int(part_size), int(at_once)


def by_boto3():
    import boto3
    from boto3.s3.transfer import TransferConfig

    config = Config(
        s3={"addressing_style": "path", "payload_signing_enabled": False},
        proxies={},
        max_pool_connections=at_once,
        request_checksum_calculation="when_required",
    )
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=region,
        config=config,
    )
    parts = TransferConfig(
        multipart_threshold=part_size,
        multipart_chunksize=part_size,
        max_concurrency=at_once,
        preferred_transfer_client="classic",
    )
    client.upload_file(path, bucket, key, Config=parts)


def by_crt():
    import botocore.session
    from awscrt.auth import AwsCredentialsProvider
    from s3transfer import crt

    credentials = AwsCredentialsProvider.new_static(access_key, secret_key)
    client = crt.create_s3_crt_client(region, credentials, part_size=part_size, use_ssl=False)
    settings = {
        "endpoint_url": endpoint,
        "region_name": region,
        "config": Config(s3={"addressing_style": "path"}, proxies={}),
    }
    serializer = crt.BotocoreCRTRequestSerializer(botocore.session.Session(), settings)
    with crt.CRTTransferManager(client, serializer) as transfers:
        transfers.upload(path, bucket, key).result()


{"boto3": by_boto3, "crt": by_crt}[manager]()
