"""The views, each a function that fills its place on a page and keeps it up to date."""
