-- The sealed context: whose tenant, which user, what role this transaction is for. Only tenantry.enter() can set it.
--
-- Two forms, chosen when this file runs. The vault keeps the context in a setting that platform cannot set
-- (backtrace_functions: superuser's, empty in production, takes letters, digits, commas; an unknown function name in it has no
-- effect), granted to tenantry_gate alone. Where the grant is refused, the keyed seal keeps it in app.tenant_seal beside a hash
-- over a secret key and the transaction's start. "set tenantry.seal = 'keyed'" before this file asks for the latter.
-- This file may be run again: it then puts back what was changed, and keeps the form and the key.

set local role tenantry_owner;

create table if not exists tenantry.seal_key (
    one boolean constraint seal_key_pkey primary key default true constraint seal_key_one_check check (one),
    key bytea not null constraint seal_key_key_check check (length(key) = 32)
);
comment on table tenantry.seal_key is 'The key of the keyed seal: one row. Read inside expressions only, never into a variable: plans print constants.';
select tenantry.keep('tenantry.seal_key');
select tenantry.put_policy('tenantry.seal_key', 'tenantry_gate', 'select', 'tenantry_gate', 'true', null, 'enter() makes seals.');
select tenantry.put_policy('tenantry.seal_key', 'tenantry_owner', 'all', 'tenantry_owner', 'true', 'true',
                           'This file makes the key, once; the functions that read the context check seals with it.');
select tenantry.put_grant('tenantry.seal_key', 'tenantry_gate', 'select');
insert into tenantry.seal_key (key)
select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
on conflict do nothing;

reset role;

-- Which form? One that is installed stays.
do $$
declare
    form text := coalesce(nullif(current_setting('tenantry.seal', true), ''), 'vault');
    sample constant text := repeat('0123456789abcdef', 2) || ',' || repeat('0123456789abcdef', 2) || ',member';
begin
    if to_regprocedure('tenantry.seal()') is not null then
        execute 'select tenantry.seal()' into form;
    end if;
    if form = 'vault' then
        begin
            if not has_parameter_privilege('tenantry_gate', 'backtrace_functions', 'set') then
                grant set on parameter backtrace_functions to tenantry_gate;
            end if;
            set local role tenantry_gate;
            perform set_config('backtrace_functions', sample, true);
            if current_setting('backtrace_functions') <> sample then
                raise exception 'the value came back changed' using errcode = 'invalid_parameter_value';
            end if;
            perform set_config('backtrace_functions', '', true);
            reset role;
        exception
            when insufficient_privilege or invalid_parameter_value or undefined_object or syntax_error then
                raise notice 'tenantry: keyed seal, because the vault is not to be had: %', sqlerrm;
                form := 'keyed';
        end;
    end if;
    set local role tenantry_owner;
    execute format('create or replace function tenantry.seal() returns text language sql immutable parallel safe return %L::text', form);
    comment on function tenantry.seal() is 'Which seal holds the context here: vault or keyed.';
    revoke all on function tenantry.seal() from public;
    grant execute on function tenantry.seal() to platform, tenantry_auth, tenantry_ops, tenantry_migrate, tenantry_system;
    reset role;
end
$$;

-- The vault: what the planner inlines. "left" and "substr" read the fields of "tenant hex,user hex,role".
do $$
begin
    if tenantry.seal() <> 'vault' then
        return;
    end if;
    set local role tenantry_owner;
    create or replace function public.get_current_tenant_id() returns uuid language sql stable parallel safe
        return nullif(left(current_setting('backtrace_functions'), 32), '')::uuid;
    create or replace function tenantry.user_id() returns uuid language sql stable parallel safe
        return nullif(substr(current_setting('backtrace_functions'), 34, 32), '')::uuid;
    create or replace function tenantry.role() returns text language sql stable parallel safe
        return nullif(substr(current_setting('backtrace_functions'), 67), '');
    reset role;
end
$$;

-- The keyed seal: the same three, each of which proves the seal first. app.tenant_seal is "tenant hex,user hex,role,hash hex".
-- Bound to now(), the transaction's start: parallel workers share it (they do not share the back end's pid).
-- SECURITY DEFINER, because platform may not read the key; the key stays a column in every expression.
do $$
declare
    reader record;
begin
    if tenantry.seal() <> 'keyed' then
        return;
    end if;
    set local role tenantry_owner;
    for reader in
        select *
          from (values
            ('public.get_current_tenant_id', 'uuid', 'pg_catalog."left"(s.context, 32)::pg_catalog.uuid'),
            ('tenantry.user_id',             'uuid', 'pg_catalog.substr(s.context, 34, 32)::pg_catalog.uuid'),
            ('tenantry.role',                'text', 'pg_catalog.substr(s.context, 67)')
          ) as readers (name, type, field)
    loop
        execute format($f$
create or replace function %1$s() returns %2$s
    language plpgsql stable parallel safe security definer
as $body$
declare
    answer pg_catalog.%2$s;
begin
    select %3$s
      into answer
      from tenantry.seal_key k,
           (select pg_catalog."left"(q.whole, -65) as context, pg_catalog."right"(q.whole, 64) as hash
              from (select pg_catalog.current_setting('app.tenant_seal', true) as whole) q) s
     where pg_catalog.encode(
               pg_catalog.sha256(k.key operator(pg_catalog.||) pg_catalog.sha256(
                   k.key
                   operator(pg_catalog.||) pg_catalog.convert_to(s.context, 'UTF8')
                   operator(pg_catalog.||) pg_catalog.timestamptz_send(pg_catalog.now()))),
               'hex') operator(pg_catalog.=) s.hash;
    return answer;
end
$body$
$f$, reader.name, reader.type, reader.field);
    end loop;
    reset role;
end
$$;

set local role tenantry_owner;
comment on function public.get_current_tenant_id() is 'The tenant that this transaction has entered, from the sealed context; null outside of one.';
comment on function tenantry.user_id() is 'The user (membership) that this transaction acts as, from the sealed context; null outside of one.';
comment on function tenantry.role() is 'The role that this transaction acts with (owner, admin, member), from the sealed context; null outside of one.';
revoke all on function public.get_current_tenant_id(), tenantry.user_id(), tenantry.role() from public;
grant execute on function public.get_current_tenant_id(), tenantry.user_id(), tenantry.role()
    to platform, tenantry_gate, tenantry_members, tenantry_system, tenantry_ops;
reset role;

-- SECURITY DEFINER, because platform may not read who regranted what.
set local role tenantry_gate;
create or replace function tenantry.can(permission text) returns boolean
    language plpgsql stable parallel safe security definer set search_path = ''
as $$
declare
    mine constant pg_catalog.text := tenantry.role();
    least pg_catalog.text;
begin
    if mine is null then
        return false;
    end if;
    select coalesce(g.least, p.least)
      into least
      from tenantry.permissions p
      left join tenantry.permission_grants g
        on g.permission operator(pg_catalog.=) p.name
       and g.tenant_id operator(pg_catalog.=) (select public.get_current_tenant_id())
     where p.name operator(pg_catalog.=) can.permission;
    -- An unknown permission is nobody's, not even the owner's.
    return case least
        when 'member' then true
        when 'admin' then mine operator(pg_catalog.<>) 'member'
        when 'owner' then mine operator(pg_catalog.=) 'owner'
        else false
    end;
end
$$;
comment on function tenantry.can(text) is 'Whether the sealed role has this permission in the sealed tenant. False for a name that nobody declared.';
revoke all on function tenantry.can(text) from public;
grant execute on function tenantry.can(text) to platform, tenantry_members;
reset role;
