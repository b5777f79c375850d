"""`mera export`: a model to pass on."""
