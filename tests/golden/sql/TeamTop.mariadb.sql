-- TeamTop: correlated, 1 statement: asked for by the statement's hermetic_strategy
-- a foreign key has no index: CREATE INDEX ix_player_team_id ON player (team_id)
SELECT team.name, (SELECT coalesce(json_arrayagg(json_array(CONVERT(player_1.name USING utf8mb4) COLLATE utf8mb4_bin) ORDER BY player_1.rating DESC, player_1.id LIMIT %s), json_array()) AS coalesce_1
FROM player AS player_1
WHERE team.id = player_1.team_id AND player_1.rating > %s) AS anon_1, (SELECT coalesce(json_arrayagg(json_array(CONVERT(player_2.name USING utf8mb4) COLLATE utf8mb4_bin) ORDER BY player_2.id LIMIT %s), json_array()) AS coalesce_2
FROM player AS player_2
WHERE team.id = player_2.team_id) AS anon_2
FROM team
WHERE team.id > %s ORDER BY team.name
 LIMIT %s

-- TeamTop: set_based, 1 statement: asked for by the statement's hermetic_strategy
-- a foreign key has no index: CREATE INDEX ix_player_team_id ON player (team_id)
WITH hermetic_r1 AS
(SELECT team.name AS hermetic_c0, team.id AS hermetic_k0, team.name AS hermetic_o0, team.id AS hermetic_o1
FROM team
WHERE team.id > %s ORDER BY team.name, team.id
 LIMIT %s),
hermetic_l2 AS
(SELECT player_1.id AS id, player_1.name AS name, player_1.rating AS rating, player_1.notes AS notes, player_1.row AS row, player_1.line AS line, player_1.team_id AS team_id, player_1.guest_of_id AS guest_of_id, player_1.mentor_id AS mentor_id, player_1.team_id AS hermetic_k0
FROM player AS player_1
WHERE player_1.team_id IN (SELECT hermetic_r1.hermetic_k0
FROM hermetic_r1) AND player_1.rating > %s),
hermetic_p3 AS
(SELECT anon_1.id AS id, anon_1.name AS name, anon_1.rating AS rating, anon_1.notes AS notes, anon_1.row AS row, anon_1.line AS line, anon_1.team_id AS team_id, anon_1.guest_of_id AS guest_of_id, anon_1.mentor_id AS mentor_id, anon_1.hermetic_k0 AS hermetic_k0, anon_1.hermetic_n AS hermetic_n
FROM (SELECT hermetic_l2.id AS id, hermetic_l2.name AS name, hermetic_l2.rating AS rating, hermetic_l2.notes AS notes, hermetic_l2.row AS row, hermetic_l2.line AS line, hermetic_l2.team_id AS team_id, hermetic_l2.guest_of_id AS guest_of_id, hermetic_l2.mentor_id AS mentor_id, hermetic_l2.hermetic_k0 AS hermetic_k0, row_number() OVER (PARTITION BY hermetic_l2.hermetic_k0 ORDER BY hermetic_l2.rating DESC, hermetic_l2.id) AS hermetic_n
FROM hermetic_l2) AS anon_1
WHERE anon_1.hermetic_n <= %s),
hermetic_j4 AS
(SELECT hermetic_p3.hermetic_k0 AS k0, json_arrayagg(json_array(CONVERT(hermetic_p3.name USING utf8mb4) COLLATE utf8mb4_bin) ORDER BY hermetic_p3.hermetic_n) AS j
FROM hermetic_p3 GROUP BY hermetic_p3.hermetic_k0),
hermetic_l5 AS
(SELECT player_2.id AS id, player_2.name AS name, player_2.rating AS rating, player_2.notes AS notes, player_2.row AS row, player_2.line AS line, player_2.team_id AS team_id, player_2.guest_of_id AS guest_of_id, player_2.mentor_id AS mentor_id, player_2.team_id AS hermetic_k0
FROM player AS player_2
WHERE player_2.team_id IN (SELECT hermetic_r1.hermetic_k0
FROM hermetic_r1)),
hermetic_p6 AS
(SELECT anon_2.id AS id, anon_2.name AS name, anon_2.rating AS rating, anon_2.notes AS notes, anon_2.row AS row, anon_2.line AS line, anon_2.team_id AS team_id, anon_2.guest_of_id AS guest_of_id, anon_2.mentor_id AS mentor_id, anon_2.hermetic_k0 AS hermetic_k0, anon_2.hermetic_n AS hermetic_n
FROM (SELECT hermetic_l5.id AS id, hermetic_l5.name AS name, hermetic_l5.rating AS rating, hermetic_l5.notes AS notes, hermetic_l5.row AS row, hermetic_l5.line AS line, hermetic_l5.team_id AS team_id, hermetic_l5.guest_of_id AS guest_of_id, hermetic_l5.mentor_id AS mentor_id, hermetic_l5.hermetic_k0 AS hermetic_k0, row_number() OVER (PARTITION BY hermetic_l5.hermetic_k0 ORDER BY hermetic_l5.id) AS hermetic_n
FROM hermetic_l5) AS anon_2
WHERE anon_2.hermetic_n <= %s),
hermetic_j7 AS
(SELECT hermetic_p6.hermetic_k0 AS k0, json_arrayagg(json_array(CONVERT(hermetic_p6.name USING utf8mb4) COLLATE utf8mb4_bin) ORDER BY hermetic_p6.hermetic_n) AS j
FROM hermetic_p6 GROUP BY hermetic_p6.hermetic_k0)
 SELECT hermetic.hermetic_c0, hermetic.hermetic_c1, hermetic.hermetic_c2
FROM (SELECT hermetic_r1.hermetic_c0 AS hermetic_c0, coalesce(hermetic_j4.j, json_array()) AS hermetic_c1, coalesce(hermetic_j7.j, json_array()) AS hermetic_c2, hermetic_r1.hermetic_o0 AS hermetic_o0, hermetic_r1.hermetic_o1 AS hermetic_o1
FROM hermetic_r1 LEFT OUTER JOIN hermetic_j4 ON hermetic_j4.k0 = hermetic_r1.hermetic_k0 LEFT OUTER JOIN hermetic_j7 ON hermetic_j7.k0 = hermetic_r1.hermetic_k0) AS hermetic ORDER BY hermetic.hermetic_o0, hermetic.hermetic_o1

-- TeamTop: per_level, 3 statements in one snapshot: asked for by the statement's hermetic_strategy
-- a foreign key has no index: CREATE INDEX ix_player_team_id ON player (team_id)
SELECT team.name, team.id, team.id AS id__1
FROM team
WHERE team.id > %s ORDER BY team.name
 LIMIT %s;
SELECT anon_1.hermetic_k0, anon_1.name
FROM (SELECT anon_2.id AS id, anon_2.name AS name, anon_2.rating AS rating, anon_2.notes AS notes, anon_2.row AS row, anon_2.line AS line, anon_2.team_id AS team_id, anon_2.guest_of_id AS guest_of_id, anon_2.mentor_id AS mentor_id, anon_2.hermetic_k0 AS hermetic_k0, anon_2.hermetic_n AS hermetic_n
FROM (SELECT anon_3.id AS id, anon_3.name AS name, anon_3.rating AS rating, anon_3.notes AS notes, anon_3.row AS row, anon_3.line AS line, anon_3.team_id AS team_id, anon_3.guest_of_id AS guest_of_id, anon_3.mentor_id AS mentor_id, anon_3.hermetic_k0 AS hermetic_k0, row_number() OVER (PARTITION BY anon_3.hermetic_k0 ORDER BY anon_3.rating DESC, anon_3.id) AS hermetic_n
FROM (SELECT player_1.id AS id, player_1.name AS name, player_1.rating AS rating, player_1.notes AS notes, player_1.row AS row, player_1.line AS line, player_1.team_id AS team_id, player_1.guest_of_id AS guest_of_id, player_1.mentor_id AS mentor_id, anon_4.n AS hermetic_k0
FROM player AS player_1, json_table(%s, '$[*]' COLUMNS (n FOR ORDINALITY, k0 BIGINT PATH '$[0]')) AS anon_4
WHERE player_1.team_id = anon_4.k0 AND player_1.rating > %s) AS anon_3) AS anon_2
WHERE anon_2.hermetic_n <= %s) AS anon_1 ORDER BY anon_1.hermetic_k0, anon_1.hermetic_n;
SELECT anon_1.hermetic_k0, anon_1.name
FROM (SELECT anon_2.id AS id, anon_2.name AS name, anon_2.rating AS rating, anon_2.notes AS notes, anon_2.row AS row, anon_2.line AS line, anon_2.team_id AS team_id, anon_2.guest_of_id AS guest_of_id, anon_2.mentor_id AS mentor_id, anon_2.hermetic_k0 AS hermetic_k0, anon_2.hermetic_n AS hermetic_n
FROM (SELECT anon_3.id AS id, anon_3.name AS name, anon_3.rating AS rating, anon_3.notes AS notes, anon_3.row AS row, anon_3.line AS line, anon_3.team_id AS team_id, anon_3.guest_of_id AS guest_of_id, anon_3.mentor_id AS mentor_id, anon_3.hermetic_k0 AS hermetic_k0, row_number() OVER (PARTITION BY anon_3.hermetic_k0 ORDER BY anon_3.id) AS hermetic_n
FROM (SELECT player_1.id AS id, player_1.name AS name, player_1.rating AS rating, player_1.notes AS notes, player_1.row AS row, player_1.line AS line, player_1.team_id AS team_id, player_1.guest_of_id AS guest_of_id, player_1.mentor_id AS mentor_id, anon_4.n AS hermetic_k0
FROM player AS player_1, json_table(%s, '$[*]' COLUMNS (n FOR ORDINALITY, k0 BIGINT PATH '$[0]')) AS anon_4
WHERE player_1.team_id = anon_4.k0) AS anon_3) AS anon_2
WHERE anon_2.hermetic_n <= %s) AS anon_1 ORDER BY anon_1.hermetic_k0, anon_1.hermetic_n
