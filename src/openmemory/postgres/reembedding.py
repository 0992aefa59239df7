"""Texts out of one tenant's memories and new vectors in, behind the same walls as every other row."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from psycopg import sql

from openmemory.core import text
from openmemory.core.memory import Embedding
from openmemory.core.text import session_key, speaker_key
from openmemory.postgres.adaptation import TermLists, Vectors
from openmemory.postgres.database import RegistryTx, TenantTx
from openmemory.postgres.statements import Names, schema_beside, schema_of_reembedding, statement
from openmemory.postgres.vectors import term_cap, traits

# User, project and session, of up to 128 bytes each, have their room in an index row; upstream let them grow longer.
_NAMES_BYTES, _TERM_BYTES = 384, 8


@dataclass(frozen=True)
class Beside(Names):
    """Names under which `{vectors}` is the new table beside the one in use, which is `{used_vectors}`."""

    @classmethod
    def of(cls, names: Names) -> "Beside":
        """Return `names` so that the new table is meant."""
        return cls(**asdict(names))

    @property
    def beside(self) -> str:
        """Return the schema in which the new vectors are filled."""
        return schema_of_reembedding(self.schema)

    @property
    def before(self) -> str:
        """Return the schema that keeps the vectors that were in use, where they are to be kept."""
        return schema_beside("openmemory_before", self.schema)

    def _substitutes(self) -> dict[str, str]:
        inside = {name: sql.Identifier(self.beside, name).as_string() for name in ("target", "changes")}
        return {
            **super()._substitutes(),
            **inside,
            "beside": sql.Identifier(self.beside).as_string(),
            "before": sql.Identifier(self.before).as_string(),
            "vectors": sql.Identifier(self.beside, self.vectors).as_string(),
            "used_vectors": self.table(self.vectors),
            "tenants_to_do": sql.Identifier(self.beside, "tenants_to_do").as_string(),
            "vector_quarantine": self.table("openmemory_vector_quarantine"),
        }


@dataclass(frozen=True, slots=True)
class Text:
    """A memory's text, with what its search row is made of beside."""

    id: UUID
    content: str
    speaker: str | None
    user_id: str | None
    project_id: str | None
    session_id: str | None

    @property
    def spoken(self) -> str:
        """Return the text as it is embedded: with who said it in front."""
        return text.spoken(self.content, self.speaker)


@dataclass(frozen=True, slots=True)
class Change:
    """A memory that was written, changed or deleted while the new vectors were being filled."""

    place: int
    tenant: str
    id: UUID


@dataclass(frozen=True, slots=True)
class SetAside:
    """An old vector that an upgrade set aside."""

    place: int
    tenant: str
    id: UUID


@dataclass(frozen=True, slots=True)
class _Name:
    name: str


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


@dataclass(frozen=True, slots=True)
class _Place:
    place: int


@dataclass(frozen=True, slots=True)
class _Id:
    id: UUID


_ALL_TEXTS = statement("reembedding.all_texts", Text)
_TEXTS_TO_DO = statement("reembedding.texts_to_do", Text)
_TEXTS_OF = statement("reembedding.texts_of", Text)
_COUNT_ALL = statement("reembedding.count_all", _Count)
_COUNT_DONE = statement("reembedding.count_done", _Count)
_FORGET = statement("reembedding.forget", type(None))
_INSERT = statement("vectors.insert", type(None))
_UNFINISHED = statement("reembedding.unfinished", _Name)
_FINISH = statement("reembedding.finish", type(None))
_LAST_CHANGE = statement("reembedding.last_change", _Place)
_CHANGES = statement("reembedding.changes", Change)
_SETTLE = statement("reembedding.settle", type(None))
_ASIDE = statement("reembedding.aside", SetAside)
_COUNT_ASIDE = statement("reembedding.count_aside", _Count)
_MARK_REPAIRED = statement("reembedding.mark_repaired", type(None))
_WITHOUT_EMBEDDING = statement("reembedding.without_embedding", _Id)
_REPAIR = statement("reembedding.repair", type(None))


async def all_texts(tx: TenantTx, after: UUID | None, limit: int) -> list[Text]:
    """Return up to `limit` texts in the order of their ids, after one of them."""
    return await tx.all(_ALL_TEXTS, after=after, limit=limit)


async def texts_to_do(tx: TenantTx, after: UUID | None, limit: int) -> list[Text]:
    """Return up to `limit` texts that have no new row yet, in the order of their ids, after one of them."""
    return await tx.all(_TEXTS_TO_DO, after=after, limit=limit)


async def texts_of(tx: TenantTx, ids: Sequence[UUID]) -> list[Text]:
    """Return the texts of those memories that are still there."""
    return await tx.all(_TEXTS_OF, ids=list(ids))


async def count_all(tx: TenantTx) -> int:
    """Return how many texts the tenant has."""
    found = await tx.one(_COUNT_ALL)
    return found.count if found else 0


async def count_done(tx: TenantTx) -> int:
    """Return how many new rows the tenant has."""
    found = await tx.one(_COUNT_DONE)
    return found.count if found else 0


def search_rows(texts: Sequence[Text], embeddings: Sequence[Embedding], dimension: int) -> dict[str, object]:
    """Return the new rows of `texts` as `insert` takes them: everything that a row does not copy from its memory."""
    terms = [text.term_vector(one.spoken, _room(one, dimension)) for one in texts]
    return {
        "ids": [one.id for one in texts],
        "session_keys": [session_key(one.user_id, one.session_id) for one in texts],
        "speaker_keys": [speaker_key(one.speaker) if one.speaker else 0 for one in texts],
        "traits": [traits(of, text.marks(one.content)) for of, one in zip(terms, texts, strict=True)],
        "terms": TermLists(terms),
        "embeddings": Vectors(embeddings),
    }


async def insert(tx: TenantTx, rows: dict[str, object]) -> None:
    """Add new rows, one a memory, under its primary sector; a memory that is gone meanwhile gets none."""
    await tx.run(_INSERT, **rows, writing=0)


async def forget(tx: TenantTx, ids: Sequence[UUID]) -> None:
    """Take back the new rows of memories that have changed."""
    await tx.run(_FORGET, ids=list(ids))


async def unfinished(tx: RegistryTx) -> list[str]:
    """Return the tenants that have texts to do, by name."""
    return [row.name for row in await tx.all(_UNFINISHED)]


async def finish(tx: RegistryTx, tenants: Sequence[str]) -> None:
    """Record that every text of these tenants is done."""
    await tx.run(_FINISH, tenants=list(tenants))


async def last_change(tx: RegistryTx) -> int:
    """Return the place of the newest change, 0 where there is none."""
    found = await tx.one(_LAST_CHANGE)
    return found.place if found else 0


async def changes(tx: RegistryTx, last: int, limit: int) -> list[Change]:
    """Return the first of what changed meanwhile, up to the place `last`."""
    return await tx.all(_CHANGES, last=last, limit=limit)


async def settle(tx: RegistryTx, done: Sequence[Change]) -> None:
    """Strike out changes that the new rows have by now."""
    await tx.run(_SETTLE, places=[one.place for one in done])


async def aside(tx: RegistryTx, after: int, limit: int) -> list[SetAside]:
    """Return up to `limit` vectors that were set aside, after a place."""
    return await tx.all(_ASIDE, after=after, limit=limit)


async def count_aside(tx: RegistryTx) -> int:
    """Return how many vectors are set aside whose memories were not repaired."""
    found = await tx.one(_COUNT_ASIDE)
    return found.count if found else 0


async def mark_repaired(tx: RegistryTx, entries: Sequence[SetAside]) -> None:
    """Record that the memories of these entries have a vector again; the old values stay."""
    await tx.run(_MARK_REPAIRED, places=[one.place for one in entries])


async def without_embedding(tx: TenantTx, ids: Sequence[UUID], nothing: Embedding) -> set[UUID]:
    """Return those of these memories whose search row in use has no vector, or `nothing`'s."""
    rows = await tx.all(_WITHOUT_EMBEDDING, ids=list(ids), nothing=Vectors([nothing]))
    return {row.id for row in rows}


async def repair(tx: TenantTx, ids: Sequence[UUID], embeddings: Sequence[Embedding], nothing: Embedding) -> int:
    """Give memories without a vector, or with `nothing`'s, one; return how many search rows that were."""
    return await tx.run(_REPAIR, ids=list(ids), embeddings=Vectors(embeddings), nothing=Vectors([nothing]))


def _room(one: Text, dimension: int) -> int:
    """Return how many terms fit into an index row beside the names."""
    names = sum(len(name.encode()) for name in (one.user_id, one.project_id, one.session_id) if name)
    return max(1, term_cap(dimension) - -(-max(0, names - _NAMES_BYTES) // _TERM_BYTES))
