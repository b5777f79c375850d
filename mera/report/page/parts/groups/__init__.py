"""For which patients and codes a model is better or worse: strata, coarser levels, how far mistakes are."""
