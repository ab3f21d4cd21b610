"""Spark Structured Streaming from a topic to Delta, exactly once.

    with_spark.py JARS ADDRESS TOPIC WARM FOLDER CORES plain|checked

`availableNow`, each micro-batch appended under its number (`txnAppId`, `txnVersion`), values and keys as text. `plain`
takes values as they are; `checked` does what Catchment does: each is parsed as JSON, and what is none stands beside its
reason. A topic to warm up with is read first, by a query of its own. CPU and peak are the JVM's.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession


def main() -> None:
    jars, address, topic, warm, folder, cores, way = sys.argv[1:]
    spark = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.jars", ",".join(str(jar) for jar in Path(jars).glob("*.jar")))
        .config("spark.driver.memory", "2g")
        .config("spark.driver.extraJavaOptions", "-XX:+UseParallelGC")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.databricks.delta.snapshotPartitions", "2")
        .config("spark.sql.shuffle.partitions", cores)
        .config("spark.sql.parquet.compression.codec", "zstd")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    pid = spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid()  # type: ignore[union-attr]
    land(spark, address, warm, f"{folder}/warm", way)
    print("ready", flush=True)
    sys.stdin.readline()
    before, began = cpu(pid), time.perf_counter()
    land(spark, address, topic, f"{folder}/measured", way)
    seconds, used = time.perf_counter() - began, cpu(pid) - before
    table = spark.read.format("delta").load(f"{folder}/measured/table")
    rows = table.count() if way == "plain" else table.where("document is not null and defect is null").count()
    print(json.dumps({"messages": rows, "seconds": seconds, "cpu": used, "peak": peak(pid)}))
    spark.stop()


def land(spark: SparkSession, address: str, topic: str, folder: str, way: str) -> None:
    def write(batch: DataFrame, number: int) -> None:
        once = {"txnAppId": folder, "txnVersion": str(number)}
        batch.write.format("delta").mode("append").options(**once).save(f"{folder}/table")

    found = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", address)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .load()
        .selectExpr(
            "topic", "partition", "offset", "timestamp", "cast(key as string) as key", "cast(value as string) as value"
        )
    )
    if way == "checked":
        found = checked(found)
    query = found.writeStream.foreachBatch(write).option("checkpointLocation", f"{folder}/checkpoint")
    query.trigger(availableNow=True).start().awaitTermination()


def checked(found: DataFrame) -> DataFrame:
    """Values that are JSON as documents; of others the bytes, and why they are set aside."""
    told = found.selectExpr("*", "value is not null and try_parse_json(value) is null as bad")
    return told.selectExpr(
        "topic", "partition", "offset", "timestamp", "key",
        "if(bad, null, value) as document",
        "if(bad, 'not valid JSON', null) as defect",
        "if(bad, cast(value as binary), null) as raw",
    )  # fmt: skip


def cpu(pid: int) -> float:
    told = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
