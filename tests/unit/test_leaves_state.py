"""Which statements may leave something in their session.

A pure table, tested alone because every way of it through a database would need the server to be in that state.
"""

from __future__ import annotations

import pytest

from hermetic.engine.residue import leaves_state

PLAIN = {
    "postgresql": [
        "SELECT 1",
        "  \n(SELECT 1) UNION (SELECT 2)",
        "/* tag */ SELECT 1",
        "-- tag\nSELECT 1",
        "UPDATE t SET a = 1",
        "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "SELECT 'SET x; LISTEN y; pg_advisory_lock(1)'",
        "SELECT $1::int, $2::int",
        "SELECT 1;",
        "SET LOCAL statement_timeout = 5",
        "set transaction read only",
        "SET CONSTRAINTS ALL DEFERRED",
        "SELECT set_config('app.tenant', %(x)s, true)",
        "SELECT set_config('app.tenant', lower(%(x)s), TRUE), set_config('b', 'c', true)",
        "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2)",
        "CREATE TABLE temp_t (a int)",
        "CREATE INDEX ON t (a)",
        "CREATE TEMP TABLE t (a int) ON COMMIT DROP",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SET x = 1; SELECT 1 $$",
        "DECLARE c CURSOR FOR SELECT 1",
        "PREPARE TRANSACTION 'a'",
        "SAVEPOINT a",
        "",
    ],
    "mariadb": [
        "SELECT @@max_connections",
        "SELECT 'a@b', \"@x\"",
        "SELECT `a@b` FROM t WHERE mail = 'it''s @home'",
        "UPDATE t SET a = 1",
        "SET TRANSACTION READ ONLY",
        "SET STATEMENT max_statement_time = 1 FOR SELECT 1",
        "SHOW CREATE TABLE t",
        "SELECT release_lock('a')",
    ],
    "sqlite": [
        "SELECT 1",
        'PRAGMA main.table_xinfo("t")',
        "PRAGMA foreign_key_list(t)",
        "PRAGMA foreign_keys",
        "CREATE TABLE t (a)",
    ],
    "other": ["SET x"],
}
LEAVING = {
    "postgresql": [
        "SET search_path TO a",
        "/* tag */ set statement_timeout = 5",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET ROLE a",
        "RESET ROLE",
        "SELECT set_config('app.tenant', 'a', false)",
        "SELECT set_config('app.tenant', %(x)s, %(y)s)",
        "SELECT set_config('a', 'b', true), set_config('c', 'd', false)",
        "SELECT * FROM t WHERE pg_try_advisory_lock(t.id)",
        "SELECT pg_advisory_lock_shared (1)",
        "LISTEN a",
        "CREATE TEMP TABLE t (a int)",
        "create local temporary table t (a int)",
        "CREATE OR REPLACE TEMP VIEW v AS SELECT 1",
        "SELECT 1 AS a INTO TEMP t",
        "CREATE TABLE pg_temp.t (a int)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "PREPARE a AS SELECT 1",
        "SELECT 1; SET x = 1",
        "DO $$ BEGIN END $$",
        "CALL p()",
        "LOAD 'a'",
    ],
    "mariadb": [
        "SET @a = 1",
        "SET SESSION sql_mode = ''",
        "SELECT 1 INTO @a",
        "SELECT @a := 1",
        "SELECT GET_LOCK('a', 0)",
        "LOCK TABLES t READ",
        "CREATE TEMPORARY TABLE t (a int)",
        "CREATE OR REPLACE TEMPORARY TABLE t (a int)",
        "USE other",
        "/*!40101 SET NAMES utf8 */",
    ],
    "sqlite": ["PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys(0)", "ATTACH 'a' AS b", "CREATE TEMP TABLE t (a)"],
}


@pytest.mark.parametrize(("database", "sql"), [(name, sql) for name, all_of in PLAIN.items() for sql in all_of])
def test_a_plain_statement_leaves_nothing(database: str, sql: str) -> None:
    assert not leaves_state(sql, database)


@pytest.mark.parametrize(("database", "sql"), [(name, sql) for name, all_of in LEAVING.items() for sql in all_of])
def test_what_outlives_the_transaction_is_seen(database: str, sql: str) -> None:
    assert leaves_state(sql, database)
