"""The comparison in sentences: the verdict, the answer to each of the page's questions, what not to conclude."""
