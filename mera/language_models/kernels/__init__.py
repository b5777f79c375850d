"""Other ways to compute what the modules of a model compute."""
