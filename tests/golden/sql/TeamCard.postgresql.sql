-- TeamCard: correlated, 1 statement: asked for by the statement's hermetic_strategy
-- a foreign key has no index: CREATE INDEX ix_player_team_id ON player (team_id)
SELECT team.name, CAST((SELECT json_build_array(coalesce(json_agg(json_build_array(player_1.name, (SELECT json_build_array(team_1.name) AS json_build_array_2
FROM team AS team_1
WHERE team_1.id = player_1.team_id), (SELECT coalesce(json_agg(json_build_array(title_1.name) ORDER BY title_1.id), '[]'::json) AS coalesce_1
FROM title AS title_1, player_title AS player_title_1
WHERE player_1.id = player_title_1.player_id AND title_1.id = player_title_1.title_id)) ORDER BY player_1.id), '[]'::json), coalesce(count(*), 0), max(player_1.rating)) AS json_build_array_1
FROM player AS player_1
WHERE team.id = player_1.team_id) AS TEXT) AS anon_1
FROM team
WHERE team.id > %(id_1)s::INTEGER ORDER BY team.name
 LIMIT %(param_1)s::INTEGER

-- TeamCard: set_based, 1 statement: asked for by the statement's hermetic_strategy
-- a foreign key has no index: CREATE INDEX ix_player_team_id ON player (team_id)
SELECT hermetic.hermetic_c0, hermetic.hermetic_c1, hermetic.hermetic_c2, hermetic.hermetic_c3
FROM (WITH hermetic_r1 AS
(SELECT team.name AS hermetic_c0, team.id AS hermetic_k0, team.name AS hermetic_o0, team.id AS hermetic_o1
FROM team
WHERE team.id > %(id_1)s::INTEGER ORDER BY team.name, team.id
 LIMIT %(param_1)s::INTEGER),
hermetic_l2 AS
(SELECT player_1.id AS id, player_1.name AS name, player_1.rating AS rating, player_1.notes AS notes, player_1.row AS row, player_1.line AS line, player_1.team_id AS team_id, player_1.guest_of_id AS guest_of_id, player_1.mentor_id AS mentor_id, player_1.team_id AS hermetic_k0
FROM player AS player_1
WHERE player_1.team_id IN (SELECT hermetic_r1.hermetic_k0
FROM hermetic_r1)),
hermetic_j5 AS
(WITH hermetic_l3 AS
(SELECT title_1.id AS id, title_1.name AS name, player_title_1.player_id AS hermetic_k0, player_title_1.player_id AS hermetic_l0, player_title_1.title_id AS hermetic_l1
FROM title AS title_1, player_title AS player_title_1
WHERE player_title_1.player_id = ANY (array((SELECT hermetic_l2.id
FROM hermetic_l2 LEFT OUTER JOIN team AS team_1 ON team_1.id = hermetic_l2.team_id))) AND title_1.id = player_title_1.title_id),
hermetic_j4 AS
(SELECT hermetic_l3.hermetic_k0 AS k0, json_agg(json_build_array(hermetic_l3.name) ORDER BY hermetic_l3.id) AS j
FROM hermetic_l3 GROUP BY hermetic_l3.hermetic_k0)
 SELECT hermetic_l2.hermetic_k0 AS k0, json_agg(json_build_array(hermetic_l2.name, CASE WHEN (team_1.id IS NOT NULL) THEN json_build_array(team_1.name) END, coalesce(hermetic_j4.j, '[]'::json)) ORDER BY hermetic_l2.id) AS j
FROM hermetic_l2 LEFT OUTER JOIN team AS team_1 ON team_1.id = hermetic_l2.team_id LEFT OUTER JOIN hermetic_j4 ON hermetic_j4.k0 = hermetic_l2.id GROUP BY hermetic_l2.hermetic_k0),
hermetic_a6 AS
(SELECT hermetic_l2.hermetic_k0 AS k0, count(*) AS v0_0, max(hermetic_l2.rating) AS v1_0
FROM hermetic_l2 GROUP BY hermetic_l2.hermetic_k0)
 SELECT hermetic_r1.hermetic_c0 AS hermetic_c0, CAST(coalesce(hermetic_j5.j, '[]'::json) AS TEXT) AS hermetic_c1, coalesce(hermetic_a6.v0_0, 0) AS hermetic_c2, hermetic_a6.v1_0 AS hermetic_c3, hermetic_r1.hermetic_o0 AS hermetic_o0, hermetic_r1.hermetic_o1 AS hermetic_o1
FROM hermetic_r1 LEFT OUTER JOIN hermetic_j5 ON hermetic_j5.k0 = hermetic_r1.hermetic_k0 LEFT OUTER JOIN hermetic_a6 ON hermetic_a6.k0 = hermetic_r1.hermetic_k0) AS hermetic ORDER BY hermetic.hermetic_o0, hermetic.hermetic_o1

-- TeamCard: per_level, 3 statements in one snapshot: asked for by the statement's hermetic_strategy
-- a foreign key has no index: CREATE INDEX ix_player_team_id ON player (team_id)
SELECT team.name, team.id, (SELECT coalesce(count(*), 0) AS coalesce_1
FROM player AS player_1
WHERE team.id = player_1.team_id) AS anon_1, (SELECT max(player_2.rating) AS max_1
FROM player AS player_2
WHERE team.id = player_2.team_id) AS anon_2
FROM team
WHERE team.id > %(id_1)s::INTEGER ORDER BY team.name
 LIMIT %(param_1)s::INTEGER;
SELECT anon_1.hermetic_k0, anon_1.name, team_1.id, team_1.name AS name_1, anon_1.id AS id_1
FROM (SELECT player_1.id AS id, player_1.name AS name, player_1.rating AS rating, player_1.notes AS notes, player_1.row AS row, player_1.line AS line, player_1.team_id AS team_id, player_1.guest_of_id AS guest_of_id, player_1.mentor_id AS mentor_id, anon_2.n AS hermetic_k0
FROM player AS player_1, unnest(%(hermetic_keys0)s::INTEGER[]) WITH ORDINALITY AS anon_2(k0, n)
WHERE player_1.team_id = anon_2.k0) AS anon_1 LEFT OUTER JOIN team AS team_1 ON team_1.id = anon_1.team_id ORDER BY anon_1.hermetic_k0, anon_1.id;
SELECT anon_1.hermetic_k0, anon_1.name
FROM (SELECT title_1.id AS id, title_1.name AS name, anon_2.n AS hermetic_k0, player_title_1.player_id AS hermetic_l0, player_title_1.title_id AS hermetic_l1
FROM title AS title_1, unnest(%(hermetic_keys0)s::INTEGER[]) WITH ORDINALITY AS anon_2(k0, n), player_title AS player_title_1
WHERE player_title_1.player_id = anon_2.k0 AND title_1.id = player_title_1.title_id) AS anon_1 ORDER BY anon_1.hermetic_k0, anon_1.id
