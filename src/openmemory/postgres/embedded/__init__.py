"""The PostgreSQL that starts by itself where the user has configured no database.

The data folder holds everything, and belongs to the one user that PostgreSQL runs as (mode 0700). Where root had made
it before, it stays as it is, and the data folder is `openmemory` in it:

    openmemory.lock    marks the folder as ours; held while somebody starts or stops the server
    users.lock         held, shared, by every process that uses the server; the last one stops it
    server.lock        inherited by PostgreSQL's processes: free exactly when none of them lives
    postgres/          the cluster, with `openmemory.conf` (ours) and `openmemory.passwords` (0600)
    run                the socket's folder (0700), or a link to one in /tmp where the path is too long for a socket
    log/               one file a weekday, none with content of users
    engine/            as root only: a copy of PostgreSQL where its user cannot reach the installed one

The kernel drops a lock with its holder, however it died. So a killed process never strands the others, a pid that was
given to another program is never mistaken for the server's, and two containers on one volume do not start two servers.

PostgreSQL listens on the socket alone, and asks even there for a random password (scram): the folder keeps other users
out, the passwords keep the roles apart, so that what runs as `openmemory_server` cannot log in as the owner.
"""

from openmemory.postgres.embedded.cluster import SERVER
from openmemory.postgres.embedded.folder import default_data_dir, place_of
from openmemory.postgres.embedded.server import EmbeddedServer, start

__all__ = ["SERVER", "EmbeddedServer", "default_data_dir", "place_of", "start"]
