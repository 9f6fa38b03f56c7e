-- School: per_level, 2 statements in one snapshot: asked for by the statement's hermetic_strategy
-- a foreign key has no index: CREATE INDEX ix_player_mentor_id ON player (mentor_id)
SELECT player.name, player.id
FROM player
WHERE player.id > %(id_1)s::INTEGER ORDER BY player.name
 LIMIT %(param_1)s::INTEGER;
WITH RECURSIVE hermetic_t(n, d, k0, p0, h0, u0) AS
(SELECT anon_1.n AS n, 1 AS d, anon_1.k0 AS k0, player_2.id AS p0, player_2.id AS h0, player_2.mentor_id AS u0
FROM player AS player_2, unnest(%(hermetic_keys0)s::INTEGER[]) WITH ORDINALITY AS anon_1(k0, n)
WHERE player_2.mentor_id = anon_1.k0 UNION ALL SELECT hermetic_t.n AS n, hermetic_t.d + 1 AS d, hermetic_t.k0 AS k0, player_3.id AS p0, player_3.id AS h0, player_3.mentor_id AS u0
FROM player AS player_3, hermetic_t
WHERE player_3.mentor_id = hermetic_t.h0 AND hermetic_t.d <= 100 AND (hermetic_t.d = 1 OR hermetic_t.u0 != hermetic_t.k0))
 SELECT hermetic_t.n, hermetic_t.d, hermetic_t.p0, hermetic_t.h0, hermetic_t.u0, player_1.name
FROM player AS player_1 JOIN hermetic_t ON player_1.id = hermetic_t.p0 ORDER BY hermetic_t.d DESC, hermetic_t.n, player_1.rating, player_1.id
