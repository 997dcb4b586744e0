"""Writes rows into a bucket as the platform's job does: by Spark's s3:// and by boto3."""

import argparse

import boto3
from pyspark.sql import SparkSession

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--bucket")
given, _ = parser.parse_known_args()
spark = SparkSession.builder.appName("copy").getOrCreate()
folder = f"s3://{given.bucket}/rows"
spark.range(3).write.parquet(folder)
count = spark.read.parquet(folder).count()
boto3.client("s3").put_object(Bucket=given.bucket, Key="count", Body=str(count).encode())
