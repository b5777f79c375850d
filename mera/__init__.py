"""What every stage shares: configuration, run directory, models, metrics, predictions, the report, the `mera` command."""
