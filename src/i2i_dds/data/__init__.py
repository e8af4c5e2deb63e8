"""Pictures in and out: files, shards, the sources they are made from, and the batches of training."""
