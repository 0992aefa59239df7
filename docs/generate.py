"""The parts of the documentation that the code knows better; `cog -r -I docs docs/reference/*.md` writes them.

This module writes settings and problems; `generate_commands`, `generate_http` and `generate_sql` write the other pages.
"""

from collections.abc import Iterable, Sequence

from openmemory import errors
from openmemory.server.problems import STATUS
from openmemory.settings import Settings
from openmemory.settings.catalogue import Setting, catalogue, sections

# What the reader of a problem can do; a new problem has none yet, and the page cannot be written without it.
REMEDIES = {
    "malformed": "Mend the fields that `errors` names; each entry has the `field` and what is wrong with it.",
    "credentials-missing": "Send the server key as `x-api-key` or `Authorization: Bearer`, or ask over loopback. The"
    " detail names the three ways in which a tenant is believed.",
    "credentials-invalid": "Send the key that the server was started with (`OM_API_KEY`).",
    "tenant-forbidden": "Ask the operator: the tenant is suspended or deleted, is not created on first use"
    " (`OM_AUTO_CREATE_TENANTS=false`), or the server has one tenant only (`OM_MULTI_TENANT=false`).",
    "another-users-memory": "Leave `user_id` out, or name the user whose memory it is.",
    "memory-not-found": "Check the id and the tenant. Another tenant's memory gives this answer too.",
    "memory-exists": "Choose another `id`, leave it out, or change the memory that is there.",
    "idempotency-conflict": "Send the same request again a little later; it then gets the first one's answer.",
    "version-changed": "Read the memory again, and send the change with its new version.",
    "request-timeout": "Send the request again; nothing of it was done. Some of a body has to come every 20 seconds,"
    " and all of it within 5 minutes. The connection is closed.",
    "too-large": "Send less at once, or raise `OM_MAX_BODY_BYTES` or `OM_MAX_BATCH_BYTES`.",
    "media-type-unsupported": "Send JSON with `content-type: application/json`.",
    "unprocessable": "What was sent can be read and not be used: a question of blanks, a value that PostgreSQL"
    " refuses, or a text that the embedding provider refuses while it takes others. The detail says which, and never"
    " quotes a value that PostgreSQL refused.",
    "idempotency-mismatch": "Use a fresh `Idempotency-Key` for a request that differs.",
    "rate-limited": "Wait as long as `Retry-After` says. `OM_TENANT_CONCURRENCY` and `OM_TENANT_WAIT_MS` set the share"
    " of a tenant.",
    "overloaded": "Wait as long as `Retry-After` says and try again; nothing was done, but for some of a `partial`"
    " batch. More is searched at once than PostgreSQL has use for, or requests have all `OM_PG_POOL_MAX` connections;"
    " or it is the bodies: all tenants together may have twice as many bytes of them at work as one, which is"
    " `OM_TENANT_CONCURRENCY` times the largest body. Of these no tenant takes more than it leaves; the first 64 KiB of"
    " each body count for nothing.",
    "stopping": "Send it again, with the same `Idempotency-Key`, once the server is up: it may have been done.",
    "embedder-unavailable": "Wait as long as `Retry-After` says and try again. The detail names the embedding server"
    " and what to check.",
    "database-unavailable": "Wait as long as `Retry-After` says and try again. A statement that took too long wants a"
    " smaller request, or a larger `OM_STATEMENT_TIMEOUT_MS`.",
    "configuration": "Seen at the start, and on the command line. Do what the message says.",
}


def settings_tables() -> str:
    """Return a table of the settings for each section, in Markdown."""
    settings = catalogue().values()
    return "\n".join(
        f"## {Settings.model_fields[section].title}\n\n{_settings(one for one in settings if one.section == section)}"
        for section in sections()
    )


def problem_sections() -> str:
    """Return a section for each problem, by status, in Markdown."""
    found = {kind.code: (status, kind) for kind, status in reversed(STATUS.items())}
    return "\n".join(_problem(kind, int(status)) for status, kind in sorted(found.values(), key=_order))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; a bar inside a cell is escaped."""
    lines = (f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in (head, *rows))
    return f"{next(lines)}|{'---|' * len(head)}\n{''.join(lines)}"


def _order(found: tuple[int, type[errors.OpenMemoryError]]) -> tuple[int, str]:
    return found[0], found[1].code


def _problem(kind: type[errors.OpenMemoryError], status: int) -> str:
    means = (kind.__doc__ or "").partition("\n")[0]
    facts = f"`type`: `/problems/{kind.code}` · status {status} · `title`: “{kind.title}”"
    return f"## {kind.code}\n\n{facts}\n\n{means}\n\n{REMEDIES[kind.code]}\n"


def _settings(settings: Iterable[Setting]) -> str:
    rows = (
        (f"`{setting.name}`", _default(setting), _sentence(setting.allowed), setting.description)
        for setting in settings
    )
    return table(("Name", "Default", "Value", "What it does"), rows)


def _default(setting: Setting) -> str:
    value = setting.show(setting.default)
    return f"`{value}`" if value else setting.unset or "—"


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]
