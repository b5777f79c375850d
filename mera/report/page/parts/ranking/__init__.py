"""Which model ranks best, and by how much: against each other, published results, ablations, widths."""
