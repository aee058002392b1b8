"""A site that others serve, asked the lab's questions from outside, and held against what was
measured before it was deployed."""
