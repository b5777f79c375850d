"""From a comparison to what is read: the page, Markdown, tables, figures, the terminal."""
