"""A read of several statements sees one state of the database, while a writer commits between any two of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bases import own_base
from requires import needs
from sqlalchemy import URL, Connection, Engine, ForeignKey, event, make_url, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from hermetic import AsyncDatabase, Database, Shape, UnitOfWork
from hermetic.engine import fetching
from hermetic.shape import Plans

Base = own_base()


class Ledger(Base):
    __tablename__ = "ledger"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]
    bookings: Mapped[list[Booking]] = relationship(back_populates="ledger", passive_deletes="all")


class Booking(Base):
    __tablename__ = "booking"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    ledger_id: Mapped[int] = mapped_column(ForeignKey("ledger.id", ondelete="CASCADE"), index=True)
    ledger: Mapped[Ledger] = relationship(back_populates="bookings")
    lines: Mapped[list[BookingLine]] = relationship(back_populates="booking", passive_deletes="all")


class BookingLine(Base):
    __tablename__ = "booking_line"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    booking_id: Mapped[int] = mapped_column(ForeignKey("booking.id", ondelete="CASCADE"), index=True)
    booking: Mapped[Booking] = relationship(back_populates="lines")


class LineCard(Shape[BookingLine]):
    amount: int


class BookingCard(Shape[Booking]):
    amount: int
    lines: list[LineCard]


class LedgerCard(Shape[Ledger]):
    id: int
    balance: int
    bookings: list[BookingCard]


READ = select(Ledger).order_by(Ledger.id).execution_options(hermetic_strategy="per_level")
LEDGERS = (1, 2)
SYNC = {
    "postgresql+asyncpg": "postgresql+psycopg",
    "mariadb+asyncmy": "mariadb+pymysql",
    "sqlite+aiosqlite": "sqlite",
}


def sync_url(url: str) -> URL:
    """Return the URL of the same database for a thread."""
    asked = make_url(url)
    return asked.set(drivername=SYNC.get(asked.drivername, asked.drivername))


def is_whole(cards: Sequence[LedgerCard]) -> bool:
    """Return whether each sum is that of the rows below it, as it is in every state that was committed."""
    ledgers = all(card.balance == sum(each.amount for each in card.bookings) for card in cards)
    bookings = [each for card in cards for each in card.bookings]
    return ledgers and all(each.amount == sum(line.amount for line in each.lines) for each in bookings)


def change(uow: UnitOfWork, number: int) -> None:
    """Book, correct an earlier booking, and move one to the other ledger; each sum is right again at the end."""
    here, there = (uow.get_one(Ledger, LEDGERS[(number + n) % 2]) for n in range(2))
    uow.add(Booking(ledger=here, amount=2 * number, lines=[BookingLine(amount=number), BookingLine(amount=number)]))
    here.balance += 2 * number
    for booking in uow.all(select(Booking).where(Booking.ledger_id == here.id).order_by(Booking.id).limit(1)):
        uow.load(booking, Booking.lines)
        booking.lines[0].amount += 1
        booking.amount += 1
        booking.ledger_id = there.id
        here.balance -= booking.amount - 1
        there.balance += booking.amount


@dataclass
class Writer:
    """A thread with a database of its own; `turn()` returns once it has committed one more change."""

    db: Database
    barrier: threading.Barrier
    changes: int = 0

    def turn(self, *_: Any) -> None:
        self.barrier.wait()  # it may begin
        self.barrier.wait()  # it has committed

    def run(self) -> None:
        try:
            while True:
                self.barrier.wait()
                self.changes += 1
                self.db.run(change, self.changes)
                self.barrier.wait()
        except threading.BrokenBarrierError:
            pass
        finally:
            self.barrier.abort()  # a failed change fails the test, which would wait for it


@contextmanager
def writing(url: str) -> Iterator[Writer]:
    with Database(sync_url(url)) as db:
        writer = Writer(db, threading.Barrier(2, timeout=10))
        thread = threading.Thread(target=writer.run)
        thread.start()
        try:
            yield writer
        finally:
            writer.barrier.abort()
            thread.join()


def prepare(db: Database) -> None:
    db.create_all(Base)
    if db.engine.dialect.name == "sqlite":
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")  # where a writer does not wait for the reader
    with db.begin() as uow:
        uow.add_all(
            Ledger(id=n, balance=6, bookings=[Booking(amount=6, lines=[BookingLine(amount=6)])]) for n in LEDGERS
        )


def without_snapshot(engine: Engine, connection: Connection) -> Sequence[LedgerCard]:
    """Return what the statements of the same plan find when each sees the rows of its own moment."""
    plan, values = Plans(engine.dialect).plan(LedgerCard.__shape__(), READ, "all")
    return plan.run(fetching(connection), values)


def own_moment(engine: Engine) -> dict[str, Any]:
    return {"isolation_level": "AUTOCOMMIT" if engine.dialect.name == "sqlite" else "READ COMMITTED"}


def test_a_writer_between_any_two_statements_is_not_seen(db: Database) -> None:
    prepare(db)
    with writing(db.engine.url.render_as_string(hide_password=False)) as writer:
        event.listen(db.engine, "after_cursor_execute", writer.turn)
        for _ in range(3):
            before = writer.changes
            cards = db.all(LedgerCard, READ)
            assert writer.changes - before == db.plan(LedgerCard, READ).statements == 3
            assert is_whole(cards)
        with db.engine.connect().execution_options(**own_moment(db.engine)) as connection:
            assert not is_whole(without_snapshot(db.engine, connection))


def test_a_page_a_stream_and_a_body_are_of_one_snapshot_too(db: Database) -> None:
    prepare(db)
    reads: list[Callable[[], Sequence[LedgerCard]]] = [
        lambda: db.page(LedgerCard, READ, limit=2).items,
        lambda: [card for card in (db.get(LedgerCard, key) for key in LEDGERS) if card is not None],
    ]
    if db.engine.dialect.name != "mariadb":  # where only flat shapes stream
        reads.append(lambda: list(db.stream(LedgerCard, READ)))
    with writing(db.engine.url.render_as_string(hide_password=False)) as writer:
        event.listen(db.engine, "after_cursor_execute", writer.turn)
        for read in reads:
            assert is_whole(read())


def test_a_unit_whose_transaction_is_one_snapshot_reads_the_same(db: Database) -> None:
    needs(db, "units of one snapshot")
    prepare(db)
    with writing(db.engine.url.render_as_string(hide_password=False)) as writer:
        event.listen(db.engine, "after_cursor_execute", writer.turn)
        with db.begin() as uow:
            first = uow.all(LedgerCard, READ)
            assert is_whole(first)
            assert uow.all(LedgerCard, READ) == first


def test_a_writer_that_never_stops_is_not_seen_either(db: Database) -> None:
    prepare(db)

    def write() -> None:
        with Database(db.engine.url) as other:
            for number in range(1, 31):
                other.run(change, number)

    thread = threading.Thread(target=write)
    thread.start()
    states = []
    while thread.is_alive():
        states.append(db.all(LedgerCard, READ))
    thread.join()
    assert all(is_whole(cards) for cards in states)
    assert db.count(select(Booking)) == 32


def test_the_async_drivers_read_one_snapshot(async_url: str) -> None:
    with Database(sync_url(async_url)) as db:
        prepare(db)

    async def main(writer: Writer) -> None:
        async with AsyncDatabase(async_url) as db:
            engine = db.engine.sync_engine
            event.listen(engine, "after_cursor_execute", writer.turn)
            for _ in range(3):
                before = writer.changes
                assert is_whole(await db.all(LedgerCard, READ))
                assert writer.changes - before == 3
            async with db.engine.connect() as connection:
                chosen = await connection.execution_options(**own_moment(engine))
                assert not is_whole(await chosen.run_sync(lambda sync: without_snapshot(engine, sync)))

    with writing(async_url) as writer:
        asyncio.run(main(writer))
