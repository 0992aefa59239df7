"""Everything built once from the settings. Below this room there are plain values, and no settings.

embedding   the embedder, and the tables that its vectors fit
logins      the ways to the database; the embedded server is started for them
readiness   a database that may be served, or the reason why not
services    the services over a pool of connections
http        the HTTP application over the services
"""

from openmemory.app.embedding import create_embedder, names
from openmemory.app.http import create_app
from openmemory.app.logins import Logins, data_folder, reached
from openmemory.app.readiness import Readied, bring_up_to_date, make_ready
from openmemory.app.services import database_of, open_services, services_over

__all__ = [
    "Logins",
    "Readied",
    "bring_up_to_date",
    "create_app",
    "create_embedder",
    "data_folder",
    "database_of",
    "make_ready",
    "names",
    "open_services",
    "reached",
    "services_over",
]
