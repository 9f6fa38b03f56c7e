"""Web frameworks: each in the module that is named after it."""
