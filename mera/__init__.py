"""What every stage shares: configuration, run directory, models, metrics, predictions, report, the `mera` command."""
