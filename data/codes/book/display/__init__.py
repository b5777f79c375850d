"""What `mera ontology` shows: books, what a file added, and everything known of a code."""
