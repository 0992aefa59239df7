-- A product too small for a float8 is an error in PostgreSQL, so a salience that is as good as none is none. With it the
-- smallest that comes out is 1e-9 * exp(-700), which later factors may still divide by billions.
CREATE OR REPLACE FUNCTION {faded}(salience float8, decay_rate float8, since timestamptz, now timestamptz) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN salience < 1e-9 THEN 0
                ELSE salience
                     * exp(-least(700, decay_rate * greatest(0, extract(epoch FROM now - since)::float8 / 86400)))
           END;
