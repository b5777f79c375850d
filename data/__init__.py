"""From raw hospital tables and notes to one prepared task on disk; the ICD ontologies."""
