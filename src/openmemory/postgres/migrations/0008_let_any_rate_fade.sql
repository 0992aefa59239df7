-- A product that is too small or too large for a float8 is an error in PostgreSQL, and an old row may bring any rate. One
-- below 1e-300 a day takes nothing in a million years; with one of 1e200 a microsecond takes all, so more is no different.
CREATE OR REPLACE FUNCTION {faded}(salience float8, decay_rate float8, since timestamptz, now timestamptz) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN salience < 1e-9 THEN 0
                ELSE salience
                     * exp(-least(700, CASE WHEN decay_rate < 1e-300 THEN 0 ELSE least(decay_rate, 1e200) END
                                       * greatest(0, extract(epoch FROM now - since)::float8 / 86400)))
           END;
