"""The splits other than test whose scores a run keeps."""
