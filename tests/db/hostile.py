"""Session settings under which values must come back as under any other."""

from __future__ import annotations

HOSTILE: dict[str, tuple[str, ...]] = {
    "postgresql": (
        "SET TimeZone = 'Asia/Kolkata'",
        "SET DateStyle = 'SQL, DMY'",
        "SET IntervalStyle = 'iso_8601'",
        "SET extra_float_digits = -15",
        "SET bytea_output = 'escape'",
    ),
    "mariadb": (
        "SET time_zone = '+05:30'",
        "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'",
        "SET div_precision_increment = 0",
        "SET collation_connection = 'utf8mb4_general_ci'",
        "SET lc_time_names = 'de_DE'",
    ),
    "sqlite": (),
}
