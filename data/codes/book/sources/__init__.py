"""What can be added to a code book: one file for each kind of source, each giving a `BookPart`."""
