-- TeamTop: correlated, 1 statement: asked for by the statement's hermetic_strategy
-- a foreign key has no index: CREATE INDEX ix_player_team_id ON player (team_id)
SELECT team.name, (SELECT json_group_array(json(anon_2.j)) AS json_group_array_1
FROM (SELECT json_array(player_1.name) AS j
FROM player AS player_1
WHERE team.id = player_1.team_id AND player_1.rating > ? ORDER BY player_1.rating DESC, player_1.id
 LIMIT ? OFFSET ?) AS anon_2) AS anon_1, (SELECT json_group_array(json(anon_4.j)) AS json_group_array_2
FROM (SELECT json_array(player_2.name) AS j
FROM player AS player_2
WHERE team.id = player_2.team_id ORDER BY player_2.id
 LIMIT ? OFFSET ?) AS anon_4) AS anon_3
FROM team
WHERE team.id > ? ORDER BY team.name
 LIMIT ? OFFSET ?

-- TeamTop: set_based, 1 statement: asked for by the statement's hermetic_strategy
-- a foreign key has no index: CREATE INDEX ix_player_team_id ON player (team_id)
WITH hermetic_r1 AS
(SELECT team.name AS hermetic_c0, team.id AS hermetic_k0, team.name AS hermetic_o0, team.id AS hermetic_o1
FROM team
WHERE team.id > ? ORDER BY team.name, team.id
 LIMIT ? OFFSET ?),
hermetic_l2 AS
(SELECT player_1.id AS id, player_1.name AS name, player_1.rating AS rating, player_1.notes AS notes, player_1."row" AS "row", player_1.line AS line, player_1.team_id AS team_id, player_1.guest_of_id AS guest_of_id, player_1.mentor_id AS mentor_id, player_1.team_id AS hermetic_k0
FROM player AS player_1
WHERE player_1.team_id IN (SELECT hermetic_r1.hermetic_k0
FROM hermetic_r1) AND player_1.rating > ?),
hermetic_p3 AS
(SELECT anon_2.id AS id, anon_2.name AS name, anon_2.rating AS rating, anon_2.notes AS notes, anon_2."row" AS "row", anon_2.line AS line, anon_2.team_id AS team_id, anon_2.guest_of_id AS guest_of_id, anon_2.mentor_id AS mentor_id, anon_2.hermetic_k0 AS hermetic_k0, anon_2.hermetic_n AS hermetic_n
FROM (SELECT hermetic_l2.id AS id, hermetic_l2.name AS name, hermetic_l2.rating AS rating, hermetic_l2.notes AS notes, hermetic_l2."row" AS "row", hermetic_l2.line AS line, hermetic_l2.team_id AS team_id, hermetic_l2.guest_of_id AS guest_of_id, hermetic_l2.mentor_id AS mentor_id, hermetic_l2.hermetic_k0 AS hermetic_k0, row_number() OVER (PARTITION BY hermetic_l2.hermetic_k0 ORDER BY hermetic_l2.rating DESC, hermetic_l2.id) AS hermetic_n
FROM hermetic_l2) AS anon_2
WHERE anon_2.hermetic_n <= ?),
hermetic_j4 AS
(SELECT anon_1.k0 AS k0, json_group_array(json(anon_1.j)) AS j
FROM (SELECT hermetic_p3.hermetic_k0 AS k0, json_array(hermetic_p3.name) AS j
FROM hermetic_p3 ORDER BY k0, hermetic_p3.hermetic_n) AS anon_1 GROUP BY anon_1.k0),
hermetic_l5 AS
(SELECT player_2.id AS id, player_2.name AS name, player_2.rating AS rating, player_2.notes AS notes, player_2."row" AS "row", player_2.line AS line, player_2.team_id AS team_id, player_2.guest_of_id AS guest_of_id, player_2.mentor_id AS mentor_id, player_2.team_id AS hermetic_k0
FROM player AS player_2
WHERE player_2.team_id IN (SELECT hermetic_r1.hermetic_k0
FROM hermetic_r1)),
hermetic_p6 AS
(SELECT anon_4.id AS id, anon_4.name AS name, anon_4.rating AS rating, anon_4.notes AS notes, anon_4."row" AS "row", anon_4.line AS line, anon_4.team_id AS team_id, anon_4.guest_of_id AS guest_of_id, anon_4.mentor_id AS mentor_id, anon_4.hermetic_k0 AS hermetic_k0, anon_4.hermetic_n AS hermetic_n
FROM (SELECT hermetic_l5.id AS id, hermetic_l5.name AS name, hermetic_l5.rating AS rating, hermetic_l5.notes AS notes, hermetic_l5."row" AS "row", hermetic_l5.line AS line, hermetic_l5.team_id AS team_id, hermetic_l5.guest_of_id AS guest_of_id, hermetic_l5.mentor_id AS mentor_id, hermetic_l5.hermetic_k0 AS hermetic_k0, row_number() OVER (PARTITION BY hermetic_l5.hermetic_k0 ORDER BY hermetic_l5.id) AS hermetic_n
FROM hermetic_l5) AS anon_4
WHERE anon_4.hermetic_n <= ?),
hermetic_j7 AS
(SELECT anon_3.k0 AS k0, json_group_array(json(anon_3.j)) AS j
FROM (SELECT hermetic_p6.hermetic_k0 AS k0, json_array(hermetic_p6.name) AS j
FROM hermetic_p6 ORDER BY k0, hermetic_p6.hermetic_n) AS anon_3 GROUP BY anon_3.k0)
 SELECT hermetic.hermetic_c0, hermetic.hermetic_c1, hermetic.hermetic_c2
FROM (SELECT hermetic_r1.hermetic_c0 AS hermetic_c0, json(coalesce(hermetic_j4.j, '[]')) AS hermetic_c1, json(coalesce(hermetic_j7.j, '[]')) AS hermetic_c2, hermetic_r1.hermetic_o0 AS hermetic_o0, hermetic_r1.hermetic_o1 AS hermetic_o1
FROM hermetic_r1 LEFT OUTER JOIN hermetic_j4 ON hermetic_j4.k0 = hermetic_r1.hermetic_k0 LEFT OUTER JOIN hermetic_j7 ON hermetic_j7.k0 = hermetic_r1.hermetic_k0) AS hermetic ORDER BY hermetic.hermetic_o0, hermetic.hermetic_o1

-- TeamTop: per_level, 3 statements in one snapshot: asked for by the statement's hermetic_strategy
-- a foreign key has no index: CREATE INDEX ix_player_team_id ON player (team_id)
SELECT team.name, team.id, team.id AS id__1
FROM team
WHERE team.id > ? ORDER BY team.name
 LIMIT ? OFFSET ?;
SELECT anon_1.hermetic_k0, anon_1.name
FROM (SELECT anon_2.id AS id, anon_2.name AS name, anon_2.rating AS rating, anon_2.notes AS notes, anon_2."row" AS "row", anon_2.line AS line, anon_2.team_id AS team_id, anon_2.guest_of_id AS guest_of_id, anon_2.mentor_id AS mentor_id, anon_2.hermetic_k0 AS hermetic_k0, anon_2.hermetic_n AS hermetic_n
FROM (SELECT anon_3.id AS id, anon_3.name AS name, anon_3.rating AS rating, anon_3.notes AS notes, anon_3."row" AS "row", anon_3.line AS line, anon_3.team_id AS team_id, anon_3.guest_of_id AS guest_of_id, anon_3.mentor_id AS mentor_id, anon_3.hermetic_k0 AS hermetic_k0, row_number() OVER (PARTITION BY anon_3.hermetic_k0 ORDER BY anon_3.rating DESC, anon_3.id) AS hermetic_n
FROM (SELECT player_1.id AS id, player_1.name AS name, player_1.rating AS rating, player_1.notes AS notes, player_1."row" AS "row", player_1.line AS line, player_1.team_id AS team_id, player_1.guest_of_id AS guest_of_id, player_1.mentor_id AS mentor_id, anon_4.n AS hermetic_k0
FROM player AS player_1, (SELECT anon_5."key" + 1 AS n, anon_5.value AS k0
FROM json_each(?) AS anon_5) AS anon_4
WHERE player_1.team_id = anon_4.k0 AND player_1.rating > ?) AS anon_3) AS anon_2
WHERE anon_2.hermetic_n <= ?) AS anon_1 ORDER BY anon_1.hermetic_k0, anon_1.hermetic_n;
SELECT anon_1.hermetic_k0, anon_1.name
FROM (SELECT anon_2.id AS id, anon_2.name AS name, anon_2.rating AS rating, anon_2.notes AS notes, anon_2."row" AS "row", anon_2.line AS line, anon_2.team_id AS team_id, anon_2.guest_of_id AS guest_of_id, anon_2.mentor_id AS mentor_id, anon_2.hermetic_k0 AS hermetic_k0, anon_2.hermetic_n AS hermetic_n
FROM (SELECT anon_3.id AS id, anon_3.name AS name, anon_3.rating AS rating, anon_3.notes AS notes, anon_3."row" AS "row", anon_3.line AS line, anon_3.team_id AS team_id, anon_3.guest_of_id AS guest_of_id, anon_3.mentor_id AS mentor_id, anon_3.hermetic_k0 AS hermetic_k0, row_number() OVER (PARTITION BY anon_3.hermetic_k0 ORDER BY anon_3.id) AS hermetic_n
FROM (SELECT player_1.id AS id, player_1.name AS name, player_1.rating AS rating, player_1.notes AS notes, player_1."row" AS "row", player_1.line AS line, player_1.team_id AS team_id, player_1.guest_of_id AS guest_of_id, player_1.mentor_id AS mentor_id, anon_4.n AS hermetic_k0
FROM player AS player_1, (SELECT anon_5."key" + 1 AS n, anon_5.value AS k0
FROM json_each(?) AS anon_5) AS anon_4
WHERE player_1.team_id = anon_4.k0) AS anon_3) AS anon_2
WHERE anon_2.hermetic_n <= ?) AS anon_1 ORDER BY anon_1.hermetic_k0, anon_1.hermetic_n
