"""Every text that the check of a shape can say, with the fix pasted where it is a line of the shape."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any

import club
import msgspec
import pytest
import sqlalchemy
from errors_page import GOLDEN

import hermetic
import hermetic.aggregate
from hermetic import ShapeError

# the head of a class, its one line, and shapes that stand before it
CASES = {
    "no fields": ("Team", "", ""),
    "not mapped": ("NotMapped", "id: int", ""),
    "shape of a shape": ("PlayerName", "name: str", ""),
    "misspelt column": ("Team", "nane: str", ""),
    "misspelt collection": ("Team", "player: list[str]", ""),
    "misspelt to-one": ("Player", "temm: str", ""),
    "unknown": ("Team", "shoe_size: int", ""),
    "unknown relationship": ("Team", "sponsors: list[SponsorName]", ""),
    "relationship of another name": ("Player", "club: TeamName", ""),
    "collection of another name": ("Player", "awards: list[TitleName]", ""),
    "ambiguous": ("Team", "members: list[PlayerName]", ""),
    "synonym of the wrong type": ("Player", "nick: int", ""),
    "composite": ("Player", "square: object", ""),
    "hybrid of the wrong type": ("Player", "label: int", ""),
    "hybrid that may be None": ("Player", "teacher: int", ""),
    "hybrid without SQL": ("Player", "shouted: str", ""),
    "hybrid of a text of Python": ("Player", "greeting: str", ""),
    "hybrid method": ("Player", "beats: bool", ""),
    "association proxy": ("Player", "title_names: list[str]", ""),
    "wrong type": ("Team", "name: int", ""),
    "wrong type behind a path": ("Player", "town: Annotated[int, path(Player.team, Team.town)]", ""),
    "money in a float": ("Team", "fee: float", ""),
    "nullable": ("Team", "town: str", ""),
    "nullable and wrong type": ("Team", "town: int", ""),
    "nullable, renamed": ("Team", "place: Annotated[str, path(Team.town)]", ""),
    "behind an optional relationship": ("Player", "mentor: Annotated[str, path(Player.mentor, Player.name)]", ""),
    "column as shape": ("Team", "name: PlayerName", ""),
    "no exact form": ("Team", "veterans: list[PlayerNotes]", "class PlayerNotes(Shape[Player]): notes: object"),
    "to-one as list": ("Player", "team: list[TeamName]", ""),
    "optional to-one as list": ("Player", "mentor: list[PlayerName]", ""),
    "may be absent": ("Player", "mentor: PlayerName", ""),
    "may be absent, renamed": ("Player", "teacher: Annotated[PlayerName, path(Player.mentor)]", ""),
    "several rows": ("Player", "badge: BadgeColor | None", ""),
    "several rows over a link table": ("Player", "best_title: TitleName | None", ""),
    "not a shape": ("Team", "players: list[str]", ""),
    "to-one not a shape": ("Player", "mentor: str", ""),
    "shape of another model": ("Team", "rooms: list[PlayerName]", ""),
    "to-many as one": ("Team", "players: PlayerName", ""),
    "to-many as scalar": ("Team", "players: str", ""),
    "optional collection": ("Team", "players: list[PlayerName] | None", ""),
    "many over a column": ("Team", "label: Annotated[list[str], many(Team.name)]", ""),
    "many over to-one": ("Player", "clubs: Annotated[list[TeamName], many(Player.team)]", ""),
    "many with a filter, not a list": (
        "Team",
        "best: Annotated[PlayerName, many(Team.players, where=Player.rating > 2000)]",
        "",
    ),
    "limit": ("Team", "best: Annotated[list[PlayerName], many(Team.players, limit=0)]", ""),
    "depth of a list": ("Player", "pupils: Annotated[list['Wrong'] | None, many(Player.pupils, depth=0)] = None", ""),
    "depth of a path": (
        "Player",
        "mentor: Annotated['Wrong | None | UnsetType', path(Player.mentor, depth=0)] = UNSET",
        "",
    ),
    "where over another table": (
        "Team",
        "some: Annotated[list[PlayerName], many(Team.players, where=Title.name == 'GM')]",
        "",
    ),
    "where over a distant table": (
        "Team",
        "some: Annotated[list[PlayerName], many(Team.players, where=Sponsor.name == 'x')]",
        "",
    ),
    "order over another table": (
        "Team",
        "some: Annotated[list[PlayerName], many(Team.players, order_by=Badge.color)]",
        "",
    ),
    "count over a column": ("Team", "names: Annotated[int, count(Team.name)]", ""),
    "count with nothing to count": ("Room", "n: Annotated[int, count(Room.id)]", ""),
    "count of another class": ("Team", "pupils: Annotated[int, count(Player.pupils)]", ""),
    "count is int": ("Team", "size: Annotated[str, count(Team.players)]", ""),
    "count with a filter is int": ("Team", "size: Annotated[str, count(Team.players, where=Player.rating > 1)]", ""),
    "sum of text": ("Team", "x: Annotated[int, aggregate.sum(Team.players, Player.name)]", ""),
    "sum of text, filtered": (
        "Team",
        "x: Annotated[int, aggregate.sum(Team.players, Player.name, where=Player.rating > 1)]",
        "",
    ),
    "sum with nothing to add up": ("Team", "x: Annotated[int, aggregate.sum(Team.rooms, Player.rating)]", ""),
    "sum of a text in quotes": ("Team", "x: Annotated[int, aggregate.sum(Team.players, 'rating')]", ""),
    "sum of a relationship": ("Team", "x: Annotated[int, aggregate.sum(Team.players, Player.team)]", ""),
    "sum of the parent's column": ("Player", "x: Annotated[int, aggregate.sum(Player.pupils, Team.fee)]", ""),
    "sum over another table": ("Team", "x: Annotated[int, aggregate.sum(Team.players, Player.rating * Title.id)]", ""),
    "sum is of the column's type": ("Team", "x: Annotated[str, aggregate.sum(Team.players, Player.rating)]", ""),
    "sum of an expression": ("Team", "x: Annotated[str, aggregate.sum(Team.players, Player.rating * 2)]", ""),
    "average is no int": ("Team", "x: Annotated[int, aggregate.avg(Team.players, Player.rating)]", ""),
    "average may be None": ("Team", "x: Annotated[float, aggregate.avg(Team.players, Player.rating)]", ""),
    "maximum may be None": ("Team", "x: Annotated[str, aggregate.max(Team.players, Player.name)]", ""),
    "minimum without order": ("Team", "x: Annotated[object, aggregate.min(Team.players, Player.notes)]", ""),
    "exists is bool": ("Team", "x: Annotated[bool | None, aggregate.exists(Team.players)]", ""),
    "exists of another class": ("Team", "x: Annotated[bool, aggregate.exists(Player.pupils)]", ""),
    "latest may be None": (
        "Team",
        "x: Annotated[str, aggregate.latest(Team.players, Player.name, order_by=Player.rating)]",
        "",
    ),
    "latest of a shape may be None": (
        "Team",
        "x: Annotated[PlayerName, aggregate.latest(Team.players, order_by=Player.rating)]",
        "",
    ),
    "latest of the wrong type": (
        "Team",
        "x: Annotated[int | None, aggregate.latest(Team.players, Player.name, order_by=Player.rating)]",
        "",
    ),
    "latest is no list": (
        "Team",
        "x: Annotated[list[PlayerName] | None, aggregate.latest(Team.players, order_by=Player.rating)]",
        "",
    ),
    "latest without order": (
        "Team",
        "x: Annotated[str | None, aggregate.latest(Team.players, Player.name, order_by=())]",
        "",
    ),
    "latest of another class": (
        "Team",
        "x: Annotated[str | None, aggregate.latest(Player.pupils, Player.name, order_by=Player.rating)]",
        "",
    ),
    "latest over a column": (
        "Team",
        "x: Annotated[str | None, aggregate.latest(Team.name, Player.name, order_by=Player.rating)]",
        "",
    ),
    "latest with a step of another class": (
        "Team",
        "x: Annotated[str | None, aggregate.latest(Team.players, Team.name, order_by=Player.rating)]",
        "",
    ),
    "latest over a list": (
        "Team",
        "x: Annotated[str | None, aggregate.latest(Team.players, Player.titles, order_by=Player.rating)]",
        "",
    ),
    "latest through a column": (
        "Team",
        "x: Annotated[str | None, aggregate.latest(Team.players, Player.name, Player.team, order_by=Player.rating)]",
        "",
    ),
    "latest in the order of another table": (
        "Team",
        "x: Annotated[str | None, aggregate.latest(Team.players, Player.name, order_by=Badge.color)]",
        "",
    ),
    "latest without end": (
        "Player",
        "x: Annotated['Wrong | None', aggregate.latest(Player.pupils, order_by=Player.rating)]",
        "",
    ),
    "empty path": ("Team", "name: Annotated[str, path()]", ""),
    "text in a path": ("Team", "label: Annotated[str, path('name')]", ""),
    "path of another class": ("Player", "town: Annotated[str | None, path(Team.town)]", ""),
    "path of a distant class": ("Team", "label: Annotated[str, path(Badge.color)]", ""),
    "second step of another class": ("Player", "color: Annotated[str, path(Player.team, Badge.color)]", ""),
    "path over to-many": ("Team", "label: Annotated[str, path(Team.players, Player.name)]", ""),
    "path to a list": ("Team", "all: Annotated[list[PlayerName], path(Team.players)]", ""),
    "path over to-many behind a hop": ("Player", "mates: Annotated[list[str], path(Player.team, Team.players)]", ""),
    "path through a column": ("Player", "town: Annotated[str, path(Player.name, Team.town)]", ""),
    "path to a composite": ("Player", "at: Annotated[object, path(Player.mentor, Player.square)]", ""),
    "path to a hybrid of the wrong type": ("Player", "called: Annotated[int, path(Player.mentor, Player.label)]", ""),
    "path to a hybrid without SQL": ("Player", "called: Annotated[str, path(Player.greeting)]", ""),
    "many over a composite": ("Player", "at: Annotated[list[PlayerName], many(Player.square)]", ""),
    "count over a hybrid": ("Player", "n: Annotated[int, count(Player.label)]", ""),
    "list without end": ("Player", "pupils: list['Wrong']", ""),
    "list without end, renamed": ("Player", "taught: Annotated[list['Wrong'], many(Player.pupils, limit=3)]", ""),
    "to-one without end": ("Player", "mentor: 'Wrong | None'", ""),
    "to-one without end, renamed": ("Player", "teacher: Annotated['Wrong | None', path(Player.mentor)]", ""),
    "depth that cannot be said": ("Player", "pupils: Annotated[list['Wrong'], many(Player.pupils, depth=2)]", ""),
    "depth that cannot be said, filtered": (
        "Player",
        "taught: Annotated[list['Wrong'], many(Player.pupils, where=Player.rating > 1, depth=2)]",
        "",
    ),
}
MATCH = "class MatchLine(Shape[Match], tag='match'): id: int"
LESSON = "class LessonLine(Shape[Lesson], tag='lesson'): id: int"
BLITZ = "class BlitzLine(Shape[Blitz], tag='blitz'): id: int"
OTHER = "class OtherMatch(Shape[Match], tag='other'): id: int"
BARE = "class BareLesson(Shape[Lesson]): id: int"
PLAYERS = "class Old(Shape[Player], tag='old'): id: int\nclass Young(Shape[Player], tag='young'): id: int"
# those whose fix is a part of the line, or stands elsewhere
CASES_OF_PARTS = {
    "tree of another class": ("Team", "players: Annotated[list['Wrong'], recursive(Team.players)]", ""),
    "tree of no level": ("Player", "pupils: Annotated[list['Wrong'], recursive(Player.pupils, max_depth=0)]", ""),
    "tree of too many levels": (
        "Player",
        "pupils: Annotated[list['Wrong'], recursive(Player.pupils, max_depth=999)]",
        "",
    ),
    "tree of other shapes": ("Player", "pupils: Annotated[list[PlayerName], recursive(Player.pupils)]", ""),
    "rows above of no shape": ("Player", "above: Annotated[list[str], recursive(Player.mentor)]", ""),
    "rows above of the shape itself": ("Player", "above: Annotated[list['Wrong'], recursive(Player.mentor)]", ""),
    "two trees": (
        "Player",
        "pupils: Annotated[list['Wrong'], recursive(Player.pupils)]\n"
        "again: Annotated[list['Wrong'], recursive(Player.pupils)]",
        "",
    ),
    "union of no hierarchy": ("Team", "players: list[Old | Young]", PLAYERS),
    "union with two members of one class": (
        "Hall",
        "events: list[MatchLine | OtherMatch | LessonLine]",
        f"{MATCH}\n{OTHER}\n{LESSON}",
    ),
    "union without a tag": ("Hall", "events: list[MatchLine | BareLesson]", f"{MATCH}\n{BARE}"),
    "union that lacks a class": ("Hall", "events: list[MatchLine | BlitzLine]", f"{MATCH}\n{BLITZ}"),
    "union with a member of another model": (
        "Hall",
        "events: list[MatchLine | TeamTagged]",
        f"{MATCH}\nclass TeamTagged(Shape[Team], tag='team'): id: int",
    ),
}
ALL = CASES | CASES_OF_PARTS
SHAPES = """
class PlayerName(Shape[Player]): name: str
class TeamName(Shape[Team]): name: str
class TitleName(Shape[Title]): name: str
class SponsorName(Shape[Sponsor]): name: str
class BadgeColor(Shape[Badge]): color: str
"""


@pytest.fixture
def page() -> Iterator[dict[str, Any]]:
    """A module of shapes over the club, as a user would write it."""
    module = types.ModuleType("shapes_of_the_club")
    sys.modules[module.__name__] = module
    names = vars(module)
    names |= {name: getattr(hermetic, name) for name in ("Shape", "aggregate", "path", "many", "count", "recursive")}
    names |= {name: value for name, value in vars(club).items() if isinstance(value, type)}
    names |= {"Annotated": Annotated, "UNSET": msgspec.UNSET, "UnsetType": msgspec.UnsetType}
    names |= {"select": sqlalchemy.select}
    exec(SHAPES, names)
    yield names
    del sys.modules[module.__name__]


def _define(page: dict[str, Any], model: str, body: str, before: str) -> None:
    indented = body.replace("\n", "\n    ")
    source = f"{before}\nclass Wrong(Shape[{model}]):\n    {indented or 'pass'}\n"
    exec(compile(source, "app/shapes.py", "exec"), page)


def _problem(page: dict[str, Any], case: str) -> hermetic.Problem:
    with pytest.raises(ShapeError) as refused:
        _define(page, *ALL[case])
    assert len(refused.value.problems) == 1 or case in CASES_OF_PARTS, str(refused.value)
    return refused.value.problems[0]


def test_every_problem_is_the_golden_one(page: dict[str, Any]) -> None:
    lines = [f"# {case}: {body}\n{_problem(page, case)}" for case, (_, body, _) in ALL.items()]
    text = "\n".join(lines) + "\n"
    path = GOLDEN / "shape-problems.txt"
    if os.environ.get("BLESS"):
        path.write_text(text)
    assert text == path.read_text(), "the texts of the shape check changed; BLESS=1 rewrites them"


@pytest.mark.parametrize("case", CASES)
def test_a_fix_that_is_a_line_of_the_shape_can_be_pasted(page: dict[str, Any], case: str) -> None:
    model, _, before = CASES[case]
    for fix in _problem(page, case).fix.split("\nor "):
        if "#" in fix or fix.startswith(("class Wrong", "class NotMapped", "delete ")):
            continue
        classes = [line for line in fix.splitlines() if line.startswith(("class ", "from "))]
        body = [line for line in fix.splitlines() if line not in classes]
        _define(page, model, "\n".join(body), "\n".join([before, *classes]))
