"""From the numbers of single runs to a comparison: differences, tests, ablations, published rows, the summary."""
