"""Apache Kafka, or what speaks its protocol."""
