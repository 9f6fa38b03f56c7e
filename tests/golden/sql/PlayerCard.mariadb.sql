-- PlayerCard: correlated, 1 statement: asked for by the statement's hermetic_strategy
SELECT player.name, team_1.id, team_1.name AS name_1, (SELECT coalesce(json_arrayagg(json_array(CONVERT(title_1.name USING utf8mb4) COLLATE utf8mb4_bin) ORDER BY title_1.id), json_array()) AS coalesce_1
FROM title AS title_1, player_title AS player_title_1
WHERE player.id = player_title_1.player_id AND title_1.id = player_title_1.title_id) AS anon_1
FROM player LEFT OUTER JOIN team AS team_1 ON team_1.id = player.team_id
WHERE player.id > %s ORDER BY player.name
 LIMIT %s

-- PlayerCard: set_based, 1 statement: asked for by the statement's hermetic_strategy
WITH hermetic_r1 AS
(SELECT player.name AS hermetic_c0, team_1.id AS hermetic_c1, team_1.name AS hermetic_c2, player.id AS hermetic_k0, player.name AS hermetic_o0, player.id AS hermetic_o1
FROM player LEFT OUTER JOIN team AS team_1 ON team_1.id = player.team_id
WHERE player.id > %s ORDER BY player.name, player.id
 LIMIT %s),
hermetic_l2 AS
(SELECT title_1.id AS id, title_1.name AS name, player_title_1.player_id AS hermetic_k0, player_title_1.player_id AS hermetic_l0, player_title_1.title_id AS hermetic_l1
FROM title AS title_1, player_title AS player_title_1
WHERE player_title_1.player_id IN (SELECT hermetic_r1.hermetic_k0
FROM hermetic_r1) AND title_1.id = player_title_1.title_id),
hermetic_j3 AS
(SELECT hermetic_l2.hermetic_k0 AS k0, json_arrayagg(json_array(CONVERT(hermetic_l2.name USING utf8mb4) COLLATE utf8mb4_bin) ORDER BY hermetic_l2.id) AS j
FROM hermetic_l2 GROUP BY hermetic_l2.hermetic_k0)
 SELECT hermetic.hermetic_c0, hermetic.hermetic_c1, hermetic.hermetic_c2, hermetic.hermetic_c3
FROM (SELECT hermetic_r1.hermetic_c0 AS hermetic_c0, hermetic_r1.hermetic_c1 AS hermetic_c1, hermetic_r1.hermetic_c2 AS hermetic_c2, coalesce(hermetic_j3.j, json_array()) AS hermetic_c3, hermetic_r1.hermetic_o0 AS hermetic_o0, hermetic_r1.hermetic_o1 AS hermetic_o1
FROM hermetic_r1 LEFT OUTER JOIN hermetic_j3 ON hermetic_j3.k0 = hermetic_r1.hermetic_k0) AS hermetic ORDER BY hermetic.hermetic_o0, hermetic.hermetic_o1

-- PlayerCard: per_level, 2 statements in one snapshot: asked for by the statement's hermetic_strategy
SELECT player.name, team_1.id, team_1.name AS name_1, player.id AS id_1
FROM player LEFT OUTER JOIN team AS team_1 ON team_1.id = player.team_id
WHERE player.id > %s ORDER BY player.name
 LIMIT %s;
SELECT anon_1.hermetic_k0, anon_1.name
FROM (SELECT title_1.id AS id, title_1.name AS name, anon_2.n AS hermetic_k0, player_title_1.player_id AS hermetic_l0, player_title_1.title_id AS hermetic_l1
FROM title AS title_1, json_table(%s, '$[*]' COLUMNS (n FOR ORDINALITY, k0 BIGINT PATH '$[0]')) AS anon_2, player_title AS player_title_1
WHERE player_title_1.player_id = anon_2.k0 AND title_1.id = player_title_1.title_id) AS anon_1 ORDER BY anon_1.hermetic_k0, anon_1.id
