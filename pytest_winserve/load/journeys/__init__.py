"""What users do, step by step: journeys as values, and in files."""
