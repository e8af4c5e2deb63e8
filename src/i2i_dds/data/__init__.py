"""Pictures in and out: files, shards and what they are made from, and the batches of training."""
