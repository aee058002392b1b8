"""The article this project grew from: what it measured and published, measured again here."""
