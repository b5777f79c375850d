"""Stage one: a language model learns every code's definition, and every definition's code."""
