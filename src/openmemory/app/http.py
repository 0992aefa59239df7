"""The HTTP application over a database that was made ready."""

from importlib.metadata import version

from fastapi import FastAPI

from openmemory.adapters.embedders import Embedder
from openmemory.app.readiness import Readied
from openmemory.app.services import open_services
from openmemory.server.api import create_api
from openmemory.server.auth import HeaderAuth
from openmemory.server.limits import Limits
from openmemory.server.status_calls import About
from openmemory.service.clock import Clock, system_clock
from openmemory.settings import Settings


def create_app(settings: Settings, ready: Readied, embedder: Embedder, clock: Clock = system_clock) -> FastAPI:
    """Return the HTTP application over a database that was made ready."""
    access = settings.access
    return create_api(
        lambda: open_services(settings, ready, embedder, clock, ready.logins.revive),
        HeaderAuth(
            bound_to_loopback=settings.server.loopback,
            api_key=access.api_key.get_secret_value() if access.api_key else None,
            trust_header=access.trust_tenant_header,
            header=access.tenant_header,
            default_tenant=access.default_tenant_id,
            multi_tenant=access.multi_tenant,
        ),
        About(
            version=version("openmemory-postgres"),
            provider=settings.embeddings.embedder,
            model=embedder.name,
            dimension=ready.names.dimension,
            tier=settings.embeddings.tier,
        ),
        Limits(
            settings.limits.max_body_bytes,
            settings.limits.max_batch_bytes,
            bodies_of_a_tenant=settings.limits.tenant_concurrency,
        ),
        settings.server.cors_origins,
    )
