"""A machine that is reached by ssh: the client, and what is brought there."""
