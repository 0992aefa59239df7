"""Long-term memory for AI agents: many tenants on one PostgreSQL, isolated by the database."""
