-- A key of a GiST index has to fit into a page twice over, which long subjects and predicates do not: their digests do. To
-- build it anew keeps nobody waiting, for only an upgrade has written facts so far, and nothing reads them.
ALTER TABLE {temporal_facts}
    DROP CONSTRAINT one_truth_at_a_time,
    ADD CONSTRAINT one_truth_at_a_time EXCLUDE USING gist (
        {textrange}(tenant_id, tenant_id, '[]') WITH &&,
        {textrange}(coalesce(user_id, ''), coalesce(user_id, ''), '[]') WITH &&,
        {textrange}(coalesce(project_id, ''), coalesce(project_id, ''), '[]') WITH &&,
        {textrange}(md5(subject), md5(subject), '[]') WITH &&,
        {textrange}(md5(predicate), md5(predicate), '[]') WITH &&,
        valid WITH &&
    );
