-- Putting back what should be there: row security, policies, grants, and the default of tenant_id, from the registry.
--
-- Runs with the rights of who calls it: `tenantry db push`, acting as tenantry_owner.

set local role tenantry_owner;

create or replace function tenantry.repair() returns setof text
    language plpgsql volatile set search_path = ''
as $$
declare
    one record;
begin
    for one in
        select c.oid::regclass as relation, c.relrowsecurity, c.relforcerowsecurity
          from tenantry.protected p
          join pg_catalog.pg_class c on c.oid = p.relation
         where not (c.relrowsecurity and c.relforcerowsecurity)
         order by 1
    loop
        execute pg_catalog.format('alter table %s enable row level security, force row level security', one.relation);
        return next pg_catalog.format('%s: row security on and forced again', one.relation);
    end loop;

    for one in
        select p.*
          from tenantry.policies p
          join pg_catalog.pg_class c on c.oid = p.relation
          left join pg_catalog.pg_policy l on l.polrelid = p.relation and l.polname = p.name
         where l.oid is null
            or l.polpermissive is false
            or l.polcmd::text <> case p.command
                   when 'select' then 'r' when 'insert' then 'a' when 'update' then 'w' when 'delete' then 'd' else '*' end
            or l.polroles <> array[case p.role when 'public' then 0::oid else pg_catalog.to_regrole(p.role::text)::oid end]
            or pg_catalog.pg_get_expr(l.polqual, l.polrelid) is distinct from p.using_expression
            or pg_catalog.pg_get_expr(l.polwithcheck, l.polrelid) is distinct from p.check_expression
         order by p.relation::text, p.name
    loop
        perform tenantry.put_policy(one.relation, one.name, one.command, one.role, one.using_expression, one.check_expression, one.says);
        return next pg_catalog.format('%s: policy %s put back', one.relation, one.name);
    end loop;

    for one in
        select l.polrelid::regclass as relation, l.polname as name
          from pg_catalog.pg_policy l
          join tenantry.protected p on p.relation = l.polrelid
         where l.polpermissive and not exists (select from tenantry.policies k where k.relation = l.polrelid and k.name = l.polname)
    loop
        execute pg_catalog.format('drop policy %I on %s', one.name, one.relation);
        return next pg_catalog.format('%s: policy %s dropped, which nobody declared and which opens rows', one.relation, one.name);
    end loop;

    for one in
        select p.relation
          from tenantry.protected p
          join pg_catalog.pg_attribute a on a.attrelid = p.relation and a.attname = 'tenant_id' and not a.attisdropped
          left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
         where p.kind = 'protected' and d.oid is null
    loop
        execute pg_catalog.format('alter table %s alter tenant_id set default public.get_current_tenant_id()', one.relation);
        return next pg_catalog.format('%s: the default of tenant_id put back', one.relation);
    end loop;
end
$$;
comment on function tenantry.repair() is 'Puts back row security, policies and defaults as the registry has them; one line for each thing that was done.';
revoke all on function tenantry.repair() from public;

-- What is missing or open, in words: no rows mean that isolation holds as far as the catalogue can tell.
create or replace function tenantry.defects() returns table (check_id text, object text, detail text, cure text)
    language sql stable set search_path = ''
begin atomic
    select 'unprotected', c.oid::regclass::text, 'no policy guards it: every tenant could read every row',
           pg_catalog.format('Add: select tenantry.protect(%L);', c.oid::regclass::text)
      from pg_catalog.pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'f', 'm') and not c.relispartition
       and not exists (select from tenantry.protected p where p.relation = c.oid)
       and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e')
    union all
    select 'row-security', c.oid::regclass::text, 'row security is off or not forced', 'Run: tenantry db push'
      from tenantry.protected p
      join pg_catalog.pg_class c on c.oid = p.relation
     where not (c.relrowsecurity and c.relforcerowsecurity)
    union all
    select 'policy-missing', p.relation::text, 'policy ' || p.name || ' is missing or changed', 'Run: tenantry db push'
      from tenantry.policies p
      join pg_catalog.pg_class c on c.oid = p.relation
      left join pg_catalog.pg_policy l on l.polrelid = p.relation and l.polname = p.name
     where l.oid is null
        or not l.polpermissive
        or pg_catalog.pg_get_expr(l.polqual, l.polrelid) is distinct from p.using_expression
        or pg_catalog.pg_get_expr(l.polwithcheck, l.polrelid) is distinct from p.check_expression
    union all
    select 'policy-unknown', l.polrelid::regclass::text, 'policy ' || l.polname || ' opens rows, and nobody declared it',
           pg_catalog.format('drop policy %I on %s;  or make it "as restrictive"', l.polname, l.polrelid::regclass)
      from pg_catalog.pg_policy l
      join tenantry.protected p on p.relation = l.polrelid
     where l.polpermissive and not exists (select from tenantry.policies k where k.relation = l.polrelid and k.name = l.polname)
    union all
    select 'role', r.rolname, 'it is superuser or has BYPASSRLS', pg_catalog.format('alter role %I nosuperuser nobypassrls;', r.rolname)
      from pg_catalog.pg_roles r
     where r.rolname in ('platform', 'tenantry_auth', 'tenantry_ops') and (r.rolsuper or r.rolbypassrls)
    union all
    select 'owner', c.oid::regclass::text, 'it belongs to a role that requests sign in as',
           pg_catalog.format('alter table %s owner to tenantry_owner;', c.oid::regclass)
      from pg_catalog.pg_class c
      join pg_catalog.pg_roles r on r.oid = c.relowner
     where r.rolname in ('platform', 'tenantry_auth', 'tenantry_ops') and c.relkind in ('r', 'p', 'v', 'm', 'f')
    union all
    select 'member', r.rolname, 'it is a member of ' || g.rolname, pg_catalog.format('revoke %I from %I;', g.rolname, r.rolname)
      from pg_catalog.pg_auth_members m
      join pg_catalog.pg_roles r on r.oid = m.member
      join pg_catalog.pg_roles g on g.oid = m.roleid
     where r.rolname in ('platform', 'tenantry_auth')
    union all
    select 'view', c.oid::regclass::text, 'a view runs as its owner', pg_catalog.format('alter view %s set (security_invoker = true);', c.oid::regclass)
      from pg_catalog.pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'v'
       and not coalesce(c.reloptions @> array['security_invoker=true'] or c.reloptions @> array['security_invoker=on'], false)
       and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e')
    union all
    select 'definer', f.oid::regprocedure::text, 'it runs with its owner''s rights, and no reason is listed',
           'Make it security invoker, or list it: insert into tenantry.allowed_definer (function, why) values (…);'
      from pg_catalog.pg_proc f
      join pg_catalog.pg_namespace n on n.oid = f.pronamespace
     where f.prosecdef and n.nspname not in ('pg_catalog', 'information_schema')
       and pg_catalog.has_function_privilege('platform', f.oid, 'execute')
       and n.nspname <> 'tenantry' and f.oid <> pg_catalog.to_regprocedure('public.get_current_tenant_id()')::oid
       and not exists (select from tenantry.allowed_definer a where a.function = f.oid::regprocedure::text);
end;
comment on function tenantry.defects() is 'What the catalogue says against isolation, each with its cure; no rows when it holds.';
revoke all on function tenantry.defects() from public;
grant execute on function tenantry.defects() to platform, tenantry_ops, tenantry_migrate, tenantry_system;
reset role;
