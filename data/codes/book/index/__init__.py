"""Entries of an alphabetic index or a table, their references, and the readable terms of their paths."""
