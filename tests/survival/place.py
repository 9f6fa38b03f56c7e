"""Where the figures are measured: a cluster of PostgreSQL, and the MariaDB of this machine where there is one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from survival.cluster import Cluster, cluster
from survival.mariadb import MariaDB


class Place:
    """The servers.

    Attributes:
        cluster: PostgreSQL.
    """

    def __init__(self, made: Cluster) -> None:
        self.cluster = made
        self._mariadb: MariaDB | None = None
        self._missing = ""

    def mariadb(self) -> MariaDB | None:
        """Return MariaDB, or None where none answers."""
        if self._mariadb is None and not self._missing:
            try:
                self._mariadb = MariaDB()
            except OperationalError as error:
                self._missing = str(error.orig)
        return self._mariadb

    def close(self) -> None:
        if self._mariadb is not None:
            self._mariadb.close()


@contextmanager
def opened() -> Generator[Place]:
    """Yield the servers; what was made on them is gone afterwards."""
    with cluster() as made:
        place = Place(made)
        try:
            yield place
        finally:
            place.close()
