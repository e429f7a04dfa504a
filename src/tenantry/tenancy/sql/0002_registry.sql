-- The registry: what guards which table, so that what should be there is known later on (verify.sql, repair).
--
-- Policies and the grants on our own tables are made by put_policy() and put_grant() only; both write down what they made.

set local role tenantry_owner;

create table tenantry.protected (
    relation regclass constraint protected_pkey primary key,
    kind text not null constraint protected_kind_check check (kind in ('protected', 'shared', 'closed', 'ours')),
    owner_column name,
    why text,
    since timestamptz not null default now(),
    constraint protected_owner_check check (owner_column is null or kind = 'protected'),
    constraint protected_why_check check ((kind = 'shared') = (why is not null))
);
comment on table tenantry.protected is
    'What each table is: protected (rows belong to tenants), shared (all read it), closed (unprotected, unreachable), ours (Tenantry''s own).';

create table tenantry.policies (
    relation regclass not null,
    name name not null,
    command text not null constraint policies_command_check check (command in ('select', 'insert', 'update', 'delete', 'all')),
    role name not null,
    using_expression text,
    check_expression text,
    says text not null,
    constraint policies_pkey primary key (relation, name)
);
comment on table tenantry.policies is 'The policies that must be there. Expressions as the server gives them back with an empty search_path.';

create table tenantry.grants (
    relation regclass not null,
    role name not null,
    privilege text not null constraint grants_privilege_check check (privilege in ('select', 'insert', 'update', 'delete')),
    columns name[] not null default '{}',
    constraint grants_pkey primary key (relation, role, privilege)
);
comment on table tenantry.grants is 'The grants on Tenantry''s own tables that must be there; no columns means the whole table.';

create table tenantry.allowed_definer (
    function text constraint allowed_definer_pkey primary key,
    why text not null
);
comment on table tenantry.allowed_definer is
    'The SECURITY DEFINER functions that platform may run, as regprocedure text with schema, each with its reason.';

create table tenantry.allowed_replication (
    name text not null,
    kind text not null constraint allowed_replication_kind_check check (kind in ('role', 'publication')),
    why text not null,
    constraint allowed_replication_pkey primary key (kind, name)
);
comment on table tenantry.allowed_replication is 'Roles and publications that may carry every tenant''s rows (a wanted standby), each with its reason.';

create or replace function tenantry.put_policy(
    t regclass, name name, command text, role name, using_expression text, check_expression text, says text
) returns void
    language plpgsql set search_path = ''
as $$
begin
    execute pg_catalog.format('drop policy if exists %I on %s', name, t);
    execute pg_catalog.format('create policy %I on %s for %s to %I', name, t, command, role)
        || coalesce(' using (' || using_expression || ')', '')
        || coalesce(' with check (' || check_expression || ')', '');
    execute pg_catalog.format('comment on policy %I on %s is %L', name, t, says);
    insert into tenantry.policies as p (relation, name, command, role, using_expression, check_expression, says)
    select t, put_policy.name, put_policy.command, put_policy.role,
           pg_catalog.pg_get_expr(l.polqual, l.polrelid), pg_catalog.pg_get_expr(l.polwithcheck, l.polrelid), put_policy.says
      from pg_catalog.pg_policy l
     where l.polrelid = t and l.polname = put_policy.name
        on conflict on constraint policies_pkey do update
       set command = excluded.command, role = excluded.role, using_expression = excluded.using_expression,
           check_expression = excluded.check_expression, says = excluded.says;
end
$$;
comment on function tenantry.put_policy(regclass, name, text, name, text, text, text) is 'Makes or replaces a policy, and writes it down.';

create or replace function tenantry.put_grant(t regclass, role name, privilege text, columns name[] default '{}') returns void
    language plpgsql set search_path = ''
as $$
begin
    execute pg_catalog.format(
        'grant %s%s on %s to %I', privilege,
        (select ' (' || pg_catalog.string_agg(pg_catalog.quote_ident(c), ', ') || ')' from pg_catalog.unnest(columns) c), t, role);
    insert into tenantry.grants as g (relation, role, privilege, columns)
    values (t, put_grant.role, put_grant.privilege, put_grant.columns)
        on conflict on constraint grants_pkey do update set columns = excluded.columns;
end
$$;
comment on function tenantry.put_grant(regclass, name, text, name[]) is 'Grants on one of our own tables, and writes it down.';

create or replace function tenantry.keep(t regclass) returns void
    language plpgsql set search_path = ''
as $$
begin
    execute pg_catalog.format('alter table %s enable row level security, force row level security', t);
    execute pg_catalog.format('revoke all on %s from public, platform, tenantry_auth', t);
    insert into tenantry.protected (relation, kind) values (t, 'ours') on conflict do nothing;
end
$$;
comment on function tenantry.keep(regclass) is 'One of our own tables: row security forced, nobody''s until put_policy() and put_grant().';

do $$
declare
    t regclass;
    registry constant regclass[] := array['tenantry.protected', 'tenantry.policies', 'tenantry.grants', 'tenantry.allowed_definer',
                                          'tenantry.allowed_replication'];
begin
    foreach t in array registry loop
        execute format('create policy tenantry_owner on %s to tenantry_owner using (true) with check (true)', t);
    end loop;
    foreach t in array registry loop
        perform tenantry.keep(t);
        perform tenantry.put_policy(t, 'tenantry_owner', 'all', 'tenantry_owner', 'true', 'true',
                                    'protect(), share(), unprotect() and migrations write it.');
        perform tenantry.put_policy(t, 'tenantry_select', 'select', 'public', 'true', null,
                                    'What guards a table is no secret: the start check and the doctor read it.');
        perform tenantry.put_grant(t, 'platform', 'select');
        perform tenantry.put_grant(t, 'tenantry_ops', 'select');
    end loop;
end
$$;

reset role;
