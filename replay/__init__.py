"""Unrolls in, batches out: column storage, the sources that choose from it, and the shard that assembles batches."""
