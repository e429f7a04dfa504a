-- Roles that requests sign in as: what binds them and what does not. One row a role.
-- In psql: set verify.role = 'platform'; \i roles.sql
select
    r.oid::bigint as oid,
    r.rolname::text as name,
    r.rolname = coalesce(nullif(pg_catalog.current_setting('verify.role', true), ''), 'platform') as is_subject,
    r.rolsuper as is_super,
    r.rolbypassrls as is_bypassing,
    r.rolreplication as is_replicating,
    r.rolcreaterole as may_create_roles,
    r.rolcreatedb as may_create_databases,
    pg_catalog.pg_get_userbyid(10)::text = r.rolname::text as is_bootstrap,
    -- Every role that it is a member of, directly or not.
    array(
        with recursive above as (
            select m.roleid from pg_catalog.pg_auth_members as m where m.member = r.oid
            union
            select m.roleid from pg_catalog.pg_auth_members as m inner join above as a on m.member = a.roleid
        )

        select pg_catalog.pg_get_userbyid(a.roleid)::text from above as a order by 1
    ) as member_of,
    array(
        select pg_catalog.pg_get_userbyid(m.roleid)::text from pg_catalog.pg_auth_members as m where m.member = r.oid order by 1
    ) as direct_member_of,
    array(
        select g.rolname::text from pg_catalog.pg_roles as g
        where (g.rolsuper or g.rolbypassrls) and g.oid <> r.oid and pg_catalog.pg_has_role(r.oid, g.oid, 'member') order by 1
    ) as reaches_above,
    array(
        select p from pg_catalog.unnest(array['create', 'temporary']) as p
        where pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), p)
    ) as database_privileges,
    array(
        select n.nspname::text from pg_catalog.pg_namespace as n
        where n.nspname !~ '^pg_(toast|temp)' and pg_catalog.has_schema_privilege(r.oid, n.oid, 'create') order by 1
    ) as creates_in,
    array(
        select l.lanname::text from pg_catalog.pg_language as l
        where l.lanname not in ('sql', 'internal', 'c') and pg_catalog.has_language_privilege(r.oid, l.oid, 'usage') order by 1
    ) as languages,
    array(
        select s.setting from pg_catalog.pg_db_role_setting as c
        cross join pg_catalog.unnest(c.setconfig) as s (setting)
        where
            c.setrole = r.oid
            and c.setdatabase in (0, (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database()))
        order by 1
    ) as settings,
    array(
        select d.datname::text from pg_catalog.pg_database as d
        where
            d.datallowconn and d.datname <> pg_catalog.current_database()
            and pg_catalog.has_database_privilege(r.oid, d.oid, 'connect') order by 1
    ) as other_databases,
    array(
        select distinct pg_catalog.pg_get_userbyid(d.defaclrole)::text || case d.defaclobjtype
            when 'r' then ':tables' when 'S' then ':sequences' when 'f' then ':functions' when 'n' then ':schemas' else ':types'
        end || coalesce(':' || n.nspname, ':')
        from pg_catalog.pg_default_acl as d
        left join pg_catalog.pg_namespace as n on n.oid = d.defaclnamespace
        cross join lateral pg_catalog.aclexplode(d.defaclacl) as x
        where x.grantee in (0, r.oid) and x.grantee <> d.defaclrole and d.defaclobjtype in ('r', 'S', 'n')
    ) as default_grants,
    array(
        select pg_catalog.format('%I.%I', n.nspname, c.relname)
        from pg_catalog.pg_class as c inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        where c.relowner = r.oid and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname !~ '^pg_' order by 1
    ) as owns,
    pg_catalog.pg_get_userbyid((select d.datdba from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())) = r.rolname as owns_database
from pg_catalog.pg_roles as r
where
    r.rolname = coalesce(nullif(pg_catalog.current_setting('verify.role', true), ''), 'platform')
    or (
        r.rolname in ('tenantry_auth', 'tenantry_ops')
        and coalesce(nullif(pg_catalog.current_setting('verify.role', true), ''), 'platform') = 'platform'
    )
order by 3 desc, 2;
