"""The parts of the report, one file each: its text, its tables and its figures; grouped by what they answer."""
