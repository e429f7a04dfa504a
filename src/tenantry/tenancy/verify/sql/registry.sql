-- What should be there, as Tenantry wrote it down: one row of JSON. Only on a database that Tenantry migrated.
-- In psql: \i registry.sql
select
    (
        select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'relation', p.relation::oid::bigint, 'kind', p.kind, 'owner_column', p.owner_column, 'why', p.why
        )), '[]') from tenantry.protected as p
    ) as protected,
    (
        select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'relation', p.relation::oid::bigint, 'relation_name', p.relation::text, 'name', p.name, 'command', p.command,
            'role', p.role, 'using', p.using_expression, 'check', p.check_expression
        )), '[]') from tenantry.policies as p
    ) as policies,
    (
        select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'relation', g.relation::oid::bigint, 'role', g.role, 'privilege', g.privilege, 'columns', g.columns
        )), '[]') from tenantry.grants as g
    ) as grants,
    (
        select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', d.function, 'why', d.why)), '[]')
        from tenantry.allowed_definer as d
    ) as definers,
    (
        select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', r.name, 'kind', r.kind, 'why', r.why)), '[]')
        from tenantry.allowed_replication as r
    ) as replications;
