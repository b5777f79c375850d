"""The printed ICD-9-CM as the CDC publishes it: the alphabetic index and the tabular list."""
