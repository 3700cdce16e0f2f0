"""Uploads or downloads one object as the users of a provider's official SDK do.

    python sdk.py s3|crt|azure|oss up|down ENDPOINT ACCESS-KEY SECRET-KEY BUCKET KEY FILE PART-SIZE AT-ONCE

All work with their defaults but for the size of a part and how many are moved at once. The C library of AWS chooses the
second itself.
"""

import sys

kind, way, endpoint, access_key, secret_key, bucket, key, path, part_size, at_once = sys.argv[1:]
part_size, at_once = int(part_size), int(at_once)


def s3():
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, proxies={}, max_pool_connections=at_once),
    )
    parts = TransferConfig(
        multipart_threshold=part_size,
        multipart_chunksize=part_size,
        max_concurrency=at_once,
        preferred_transfer_client="classic",
    )
    if way == "up":
        client.upload_file(path, bucket, key, Config=parts)
    else:
        client.download_file(bucket, key, path, Config=parts)


def crt():
    import botocore.session
    from awscrt.auth import AwsCredentialsProvider
    from botocore.config import Config
    from s3transfer import crt

    credentials = AwsCredentialsProvider.new_static(access_key, secret_key)
    client = crt.create_s3_crt_client("us-east-1", credentials, part_size=part_size, use_ssl=False)
    settings = {
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "config": Config(s3={"addressing_style": "path"}, proxies={}),
    }
    serializer = crt.BotocoreCRTRequestSerializer(botocore.session.Session(), settings)
    with crt.CRTTransferManager(client, serializer) as transfers:
        if way == "up":
            transfers.upload(path, bucket, key).result()
        else:
            transfers.download(bucket, key, path).result()


def azure():
    from azure.storage.blob import BlobServiceClient

    service = BlobServiceClient(
        endpoint,
        credential={"account_name": access_key, "account_key": secret_key},
        max_block_size=part_size,
        max_single_put_size=part_size,
        max_chunk_get_size=part_size,
        max_single_get_size=part_size,
    )
    blob = service.get_blob_client(bucket, key)
    if way == "up":
        with open(path, "rb") as file:
            blob.upload_blob(file, max_concurrency=at_once, overwrite=True)
    else:
        with open(path, "wb") as file:
            blob.download_blob(max_concurrency=at_once).readinto(file)


def oss():
    import alibabacloud_oss_v2 as oss
    from alibabacloud_oss_v2.credentials import StaticCredentialsProvider

    client = oss.Client(
        oss.config.Config(
            region="cn-hangzhou",
            endpoint=endpoint,
            credentials_provider=StaticCredentialsProvider(access_key, secret_key),
            use_path_style=True,
        )
    )
    shape = {"part_size": part_size, "parallel_num": at_once}
    if way == "up":
        request = oss.PutObjectRequest(bucket=bucket, key=key)
        client.uploader(**shape).upload_file(request, path)
    else:
        request = oss.GetObjectRequest(bucket=bucket, key=key)
        client.downloader(**shape).download_file(request, path)


{"s3": s3, "crt": crt, "azure": azure, "oss": oss}[kind]()
