"""Journey files that are made: out of a browser's recording, or of the routes of an app."""
