"""How figures are drawn: SVG with the same bytes for the same numbers, in three forms: rows of dots, panels, curves."""
