"""The SQL of every strategy on every database, word for word: a template that changes is seen, and reviewed."""

from __future__ import annotations

import os
from typing import Annotated, Any

import pytest
from club import Player, Team, Title
from errors_page import GOLDEN
from sqlalchemy import Dialect, make_url, select

from hermetic import Shape, aggregate, count, many, path, recursive
from hermetic.shape import Plans

SQL = GOLDEN.parent / "sql"
URLS = {
    "postgresql": "postgresql+psycopg://",
    "mariadb": "mariadb+pymysql://",
    "sqlite": "sqlite://",
}
STRATEGIES = ("correlated", "set_based", "per_level")


class TitleLine(Shape[Title]):
    name: str


class TeamLine(Shape[Team]):
    name: str


class PlayerRow(Shape[Player]):
    """Flat: columns, a hop, and to-one shapes."""

    id: int
    town: Annotated[str | None, path(Player.team, Team.town)]
    team: TeamLine
    guest_of: TeamLine | None


class PlayerCard(Shape[Player]):
    """A link table inside a collection."""

    name: str
    team: TeamLine
    titles: list[TitleLine]


class TeamCard(Shape[Team]):
    """Lists, one over two levels, and a list and values over the same rows."""

    name: str
    players: list[PlayerCard]
    number: Annotated[int, count(Team.players)]
    best: Annotated[int | None, aggregate.max(Team.players, Player.rating)]


class TeamMate(Shape[Player]):
    name: str


class TeamTop(Shape[Team]):
    """A filter, an order, a limit for each parent, and the first of an order."""

    name: str
    top: Annotated[
        list[TeamMate], many(Team.players, where=Player.rating > 2000, order_by=Player.rating.desc(), limit=3)
    ]
    newest: Annotated[TeamMate | None, aggregate.latest(Team.players, order_by=Player.id)]


class School(Shape[Player]):
    """A tree."""

    name: str
    pupils: Annotated[list[School], recursive(Player.pupils, order_by=Player.rating)]


SHAPES: dict[Any, tuple[Any, tuple[str, ...]]] = {
    PlayerRow: (Player, ("flat",)),
    PlayerCard: (Player, STRATEGIES),
    TeamCard: (Team, STRATEGIES),
    TeamTop: (Team, STRATEGIES),
    School: (Player, ("per_level",)),
}


def dialect_of(database: str) -> Dialect:
    return make_url(URLS[database]).get_dialect()()


def planned(shape: Any, database: str) -> str:
    """Return each plan, a line for each clause."""
    model, strategies = SHAPES[shape]
    plans = Plans(dialect_of(database))
    found: list[str] = []
    for strategy in strategies:
        chosen = select(model).where(model.id > 7).order_by(model.name).limit(20)
        statement: Any = chosen.execution_options(hermetic_strategy=strategy)
        plan, _ = plans.plan(shape.__shape__(), statement, "plan")
        found.append(str(plan))
    return "\n\n".join("\n".join(line.rstrip() for line in each.splitlines()) for each in found) + "\n"


@pytest.mark.parametrize("database", URLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sql_of_a_shape_is_the_golden_one(shape: Any, database: str) -> None:
    path = SQL / f"{shape.__name__}.{database}.sql"
    text = planned(shape, database)
    if os.environ.get("BLESS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"the SQL of {path.name} changed; BLESS=1 rewrites it"


def test_every_golden_statement_is_of_a_shape() -> None:
    assert {path.name for path in SQL.iterdir()} == {
        f"{shape.__name__}.{name}.sql" for shape in SHAPES for name in URLS
    }
