"""`mera doctor`: what a run will take, and what is missing for it."""
