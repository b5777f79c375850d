"""The notes of an edition: ranges of codes, the codes that a note names, and whom a code is for."""
