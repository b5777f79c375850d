"""`mera predict` with a bi-encoder: notes, or histories written as text, ranked by the candidates it was trained on."""
