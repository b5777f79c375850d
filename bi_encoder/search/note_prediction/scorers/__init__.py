"""What can score a new note: bi-encoders, baselines that are fitted on notes, and fusions of these."""
