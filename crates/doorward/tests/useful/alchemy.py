"""SQLAlchemy: what it reads of a schema, and rows made, read, changed and removed."""
import os

from sqlalchemy import ForeignKey, MetaData, String, create_engine, func, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship, selectinload


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    __tablename__ = "alchemy_shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), index=True)
    books: Mapped[list["Book"]] = relationship(back_populates="shelf", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "alchemy_book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(unique=True)
    pages: Mapped[int | None]
    shelf_id: Mapped[int] = mapped_column(ForeignKey("alchemy_shelf.id"))
    shelf: Mapped[Shelf] = relationship(back_populates="books")


engine = create_engine("postgresql+psycopg://", connect_args={"prepare_threshold": 2})
Base.metadata.create_all(engine)
with Session(engine) as session:
    for n in range(20):
        books = [Book(title=f"{n} {m}", pages=m or None) for m in range(5)]
        session.add(Shelf(name=f"shelf {n}", books=books))
    session.commit()
    for n in range(20):
        shelf = session.scalars(select(Shelf).where(Shelf.name == f"shelf {n}").options(selectinload(Shelf.books))).one()
        assert len(shelf.books) == 5
        shelf.books[0].pages = 7
        session.flush()
    session.commit()
    for _ in range(10):
        pages = select(Shelf.name, func.sum(Book.pages)).join(Book).group_by(Shelf.name).having(func.count() > 1)
        assert len(session.execute(pages.order_by(Shelf.name).limit(5)).all()) == 5
        assert session.scalars(select(Book).options(joinedload(Book.shelf)).where(Book.pages.is_(None))).unique().all() == []
        session.delete(session.scalars(select(Shelf).order_by(Shelf.id)).first())
        session.commit()
looks = inspect(engine)
for schema in looks.get_schema_names():
    if not schema.startswith(("pg_", "information_schema")):
        looks.get_table_names(schema), looks.get_view_names(schema), looks.get_sequence_names(schema)
        MetaData().reflect(engine, schema=schema, views=True)
Base.metadata.drop_all(engine)
