-- PlayerRow: flat, 1 statement: no collection: plain columns in the driver's own types
SELECT player.id, team_1.town, team_1.id AS id_1, team_1.name, team_2.id AS id_2, team_2.name AS name_1
FROM player LEFT OUTER JOIN team AS team_1 ON team_1.id = player.team_id LEFT OUTER JOIN team AS team_2 ON team_2.id = player.guest_of_id
WHERE player.id > %(id_3)s::INTEGER ORDER BY player.name
 LIMIT %(param_1)s::INTEGER
