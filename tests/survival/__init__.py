"""Survival: what a database goes through in production, done to a real server, and what is left of it counted.

`python3 dev.py test tests/survival` runs the short form; `python3 dev.py survive` the long one, and prints its table.
"""
