"""Tables as hospitals hand them out: CSV, Parquet, streams of notes; each column is read by what it means."""
