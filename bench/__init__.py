"""Measurements: ratios against named rivals in the same run, interleaved rounds, medians."""
