-- PlayerCard: correlated, 1 statement: asked for by the statement's hermetic_strategy
SELECT player.name, team_1.id, team_1.name AS name_1, (SELECT json_group_array(json(anon_2.j)) AS json_group_array_1
FROM (SELECT json_array(title_1.name) AS j
FROM title AS title_1, player_title AS player_title_1
WHERE player.id = player_title_1.player_id AND title_1.id = player_title_1.title_id ORDER BY title_1.id) AS anon_2) AS anon_1
FROM player LEFT OUTER JOIN team AS team_1 ON team_1.id = player.team_id
WHERE player.id > ? ORDER BY player.name
 LIMIT ? OFFSET ?

-- PlayerCard: set_based, 1 statement: asked for by the statement's hermetic_strategy
WITH hermetic_r1 AS
(SELECT player.name AS hermetic_c0, team_1.id AS hermetic_c1, team_1.name AS hermetic_c2, player.id AS hermetic_k0, player.name AS hermetic_o0, player.id AS hermetic_o1
FROM player LEFT OUTER JOIN team AS team_1 ON team_1.id = player.team_id
WHERE player.id > ? ORDER BY player.name, player.id
 LIMIT ? OFFSET ?),
hermetic_l2 AS
(SELECT title_1.id AS id, title_1.name AS name, player_title_1.player_id AS hermetic_k0, player_title_1.player_id AS hermetic_l0, player_title_1.title_id AS hermetic_l1
FROM title AS title_1, player_title AS player_title_1
WHERE player_title_1.player_id IN (SELECT hermetic_r1.hermetic_k0
FROM hermetic_r1) AND title_1.id = player_title_1.title_id),
hermetic_j3 AS
(SELECT anon_1.k0 AS k0, json_group_array(json(anon_1.j)) AS j
FROM (SELECT hermetic_l2.hermetic_k0 AS k0, json_array(hermetic_l2.name) AS j
FROM hermetic_l2 ORDER BY k0, hermetic_l2.id) AS anon_1 GROUP BY anon_1.k0)
 SELECT hermetic.hermetic_c0, hermetic.hermetic_c1, hermetic.hermetic_c2, hermetic.hermetic_c3
FROM (SELECT hermetic_r1.hermetic_c0 AS hermetic_c0, hermetic_r1.hermetic_c1 AS hermetic_c1, hermetic_r1.hermetic_c2 AS hermetic_c2, json(coalesce(hermetic_j3.j, '[]')) AS hermetic_c3, hermetic_r1.hermetic_o0 AS hermetic_o0, hermetic_r1.hermetic_o1 AS hermetic_o1
FROM hermetic_r1 LEFT OUTER JOIN hermetic_j3 ON hermetic_j3.k0 = hermetic_r1.hermetic_k0) AS hermetic ORDER BY hermetic.hermetic_o0, hermetic.hermetic_o1

-- PlayerCard: per_level, 2 statements in one snapshot: asked for by the statement's hermetic_strategy
SELECT player.name, team_1.id, team_1.name AS name_1, player.id AS id_1
FROM player LEFT OUTER JOIN team AS team_1 ON team_1.id = player.team_id
WHERE player.id > ? ORDER BY player.name
 LIMIT ? OFFSET ?;
SELECT anon_1.hermetic_k0, anon_1.name
FROM (SELECT title_1.id AS id, title_1.name AS name, anon_2.n AS hermetic_k0, player_title_1.player_id AS hermetic_l0, player_title_1.title_id AS hermetic_l1
FROM title AS title_1, (SELECT anon_3."key" + 1 AS n, anon_3.value AS k0
FROM json_each(?) AS anon_3) AS anon_2, player_title AS player_title_1
WHERE player_title_1.player_id = anon_2.k0 AND title_1.id = player_title_1.title_id) AS anon_1 ORDER BY anon_1.hermetic_k0, anon_1.id
