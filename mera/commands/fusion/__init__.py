"""`mera fuse`: several runs of one task as one run."""
