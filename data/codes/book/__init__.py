"""The code book: everything that a user's files say of how codes are called and which may stand together."""
