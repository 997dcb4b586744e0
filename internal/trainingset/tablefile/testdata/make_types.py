"""Writes the files of this folder as the ETL job would: all types of a run's tables, and gaps.

Run it with the Python of the jobs (DIECAST_GLUE_PYTHON), and rename what it writes below out/.
"""

from pyspark.sql import SparkSession

ROWS = """SELECT * FROM VALUES
    (1, CAST(-7 AS SMALLINT), 'S10_1', CAST(81.35 AS DECIMAL(10,2)), CAST(-0.05 AS DECIMAL(20,2)),
        CAST('12345678901234567890.1234' AS DECIMAL(24,4)), DATE'1969-12-31',
        TIMESTAMP'2004-11-24 23:59:59', true, 2.5D),
    (2, CAST(NULL AS SMALLINT), NULL, NULL, CAST(1e17 AS DECIMAL(20,2)), NULL, NULL, NULL, false, NULL)
    AS t(anInt, aSmall, aText, price, revenue, threshold, aDay, aTime, aFlag, aMean)"""
CSV = {"header": "true", "escape": '"', "emptyValue": "", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ssXXX"}

spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    .getOrCreate()
)
rows = spark.sql(ROWS).coalesce(1)
rows.write.parquet("out/parquet")
rows.write.options(**CSV).csv("out/csv")
