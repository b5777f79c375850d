"""What stage one learns: the codes, their names and notes, and which names are held out."""
