"""The HTTP application: its calls, and the middleware that every request passes."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from openmemory.server import problems
from openmemory.server.auth import HeaderAuth
from openmemory.server.calling import Authenticated, Services
from openmemory.server.direct import ShortWay
from openmemory.server.limits import Limits, RequestLimit
from openmemory.server.memory_calls import direct_calls, memory_calls
from openmemory.server.schema import PROBLEMS, DescribedApi
from openmemory.server.status_calls import About, sector_calls, status_calls
from openmemory.server.telemetry import Metrics, Observed


def create_api(
    open_services: Callable[[], AbstractAsyncContextManager[Services]],
    auth: HeaderAuth,
    about: About,
    limits: Limits = Limits(),
    cors_origins: Sequence[str] = (),
) -> FastAPI:
    """Return the application; `open_services` is entered when it starts and left when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services() as opened:
            app.state.services = opened
            yield

    app = DescribedApi(
        title="OpenMemory",
        version=about.version,
        summary="Long-term memory for agents, many tenants on one PostgreSQL.",
        lifespan=lifespan,
        responses=PROBLEMS,
        docs_url=None,  # it would load its scripts from someone else's server
        redoc_url=None,
        redirect_slashes=False,
        # FastAPI's own would write what a body held into spans and logs; ours counts and times requests.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.tenant_header = auth.header
    app.state.about = about
    app.state.limits = limits
    app.state.metrics = Metrics()
    routers = (direct_calls, memory_calls, status_calls, sector_calls)  # /memory/{id} matches the first ones' paths too
    for router in routers:
        app.include_router(router)
    problems.install(app, [route for router in routers for route in router.routes])
    # A request passes the last one added first: Observed, CORS, Caught, Authenticated, RequestLimit, ShortWay.
    app.add_middleware(ShortWay, routes=direct_calls.routes)
    app.add_middleware(RequestLimit, limits=limits)
    app.add_middleware(Authenticated, auth=auth.with_pages(cors_origins))
    app.add_middleware(problems.Caught)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["ETag", "Idempotent-Replayed", "Retry-After"],
        )
    app.add_middleware(Observed, metrics=app.state.metrics)
    return app
