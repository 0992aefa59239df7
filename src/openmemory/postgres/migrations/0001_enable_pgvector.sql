-- Vectors, sign bits and sparse vectors are pgvector's types; nothing works without them.
CREATE EXTENSION IF NOT EXISTS vector;
