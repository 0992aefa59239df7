"""The calls about the server itself, and about the sectors there are."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from openmemory import wire
from openmemory.core.sectors import RATE_PER_DAY, WEIGHT, Sector, rules
from openmemory.server.calling import Called, Parts, shown
from openmemory.server.direct import PlacedRoute
from openmemory.server.telemetry import Metrics

status_calls = APIRouter(tags=["status"])
sector_calls = APIRouter(tags=["memories"], route_class=PlacedRoute)


@dataclass(frozen=True, slots=True)
class About:
    """What `/health` says of the server."""

    version: str
    provider: str
    model: str
    dimension: int
    tier: str


@status_calls.head("/health", include_in_schema=False)
@status_calls.get("/health", response_model=wire.HealthAnswer)
async def health(request: Request) -> Response:
    """Say that the process is alive; the database is not asked."""
    about: About = request.app.state.about
    return shown(
        wire.HealthAnswer(
            version=about.version,
            embedding=wire.EmbeddingHealth(
                provider=about.provider,
                model=about.model,
                dimensions=about.dimension,
                type=about.provider,
                fallback_chain=[about.provider],
            ),
            tier=about.tier,
            dim=about.dimension,
            cache=0,
            expected=wire.Expected(recall=0, qps="see benchmarks", ram="see capacity", use="see benchmarks"),
        )
    )


@status_calls.head("/ready", include_in_schema=False)
@status_calls.get("/ready", response_model=wire.ReadyAnswer)
async def ready(parts: Parts) -> Response:
    """Say that the database answers; 503 when it does not."""
    await parts.tenants.ping()
    return shown(wire.ReadyAnswer())


@status_calls.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return counts and times of requests, as Prometheus reads them."""
    found: Metrics = request.app.state.metrics
    return Response(found.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


@sector_calls.get("/sectors", response_model=wire.SectorsAnswer)
async def sectors(who: Called, parts: Parts) -> Response:
    """List the sectors, how they fade, and what the tenant has in each."""
    counts = await parts.memories.sector_counts(who.scope)
    return shown(
        wire.SectorsAnswer(
            sectors=[sector.value for sector in Sector],
            configs={sector.value: _config(sector) for sector in Sector},
            stats=[
                wire.SectorStats(sector=one.sector, count=one.count, avg_salience=one.avg_salience) for one in counts
            ],
        )
    )


def _config(sector: Sector) -> wire.SectorConfig:
    words, phrases = rules(sector)
    return wire.SectorConfig(
        model="rules",
        decay_lambda=RATE_PER_DAY[sector],
        weight=WEIGHT[sector],
        patterns=[wire.SectorRule(words=list(words)), wire.SectorRule(phrases=phrases)],
    )
