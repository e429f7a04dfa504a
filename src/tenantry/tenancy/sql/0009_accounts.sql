-- What tenantry_auth may do: functions over sessions and memberships, and no table.
--
-- SECURITY DEFINER, because the login itself reads nothing: who holds a session's token may see its person's tenants, no more.

set local role tenantry_signin;

create or replace function tenantry.session_of(credential bytea) returns public.auth_sessions
    language plpgsql stable set search_path = ''
as $$
declare
    found public.auth_sessions;
begin
    select * into found from public.auth_sessions s
     where s.token_hash = pg_catalog.sha256(credential) and s.expires > pg_catalog.now();
    if found.id is null then
        raise exception 'No active session - please sign in' using errcode = 'TN401';
    end if;
    return found;
end
$$;
comment on function tenantry.session_of(bytea) is 'The live session of a token. Raises TN401.';

create or replace function tenantry.tenants_of(credential bytea)
    returns table (id uuid, slug text, name text, role text, is_current boolean, created_at timestamptz)
    language plpgsql stable security definer set search_path = ''
as $$
declare
    session constant public.auth_sessions := tenantry.session_of(credential);
begin
    return query
    select n.id, n.slug, n.name, u.role, n.id is not distinct from session.tenant_id, n.created_at
      from public.users u
      join tenantry.tenants n on n.id = u.tenant_id
     where u.identity_id = session.identity_id and n.status = 'active'
     order by n.slug
     limit 1000;
end
$$;
comment on function tenantry.tenants_of(bytea) is 'The active tenants that a session''s person belongs to, at most 1,000. Raises TN401.';

create or replace function tenantry.switch_tenant(credential bytea, new_token bytea, tenant text)
    returns table (tenant_id uuid, slug text, name text, role text, expires timestamptz)
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    session constant public.auth_sessions := tenantry.session_of(credential);
    found record;
    ended uuid;
begin
    select n.id, n.slug, n.name, n.status, u.role
      into found
      from public.users u
      join tenantry.tenants n on n.id = u.tenant_id
     where u.identity_id = session.identity_id and (n.slug = tenant or n.id::text = pg_catalog.lower(tenant))
     order by n.id::text = pg_catalog.lower(tenant) desc
     limit 1;
    if found.id is null then
        raise exception 'Not a member of this tenant' using errcode = 'TN403';
    end if;
    if found.status <> 'active' then
        raise exception 'This tenant is suspended.' using errcode = 'TN423';
    end if;
    if pg_catalog.length(new_token) < 32 then
        raise exception 'a session token has at least 32 bytes' using errcode = '22023';
    end if;
    -- The old token ends with the new one's beginning; of two switches at once, one finds no session.
    delete from public.auth_sessions s where s.id = session.id returning s.id into ended;
    if ended is null then
        raise exception 'No active session - please sign in' using errcode = 'TN401';
    end if;
    insert into public.auth_sessions (token_hash, identity_id, tenant_id, expires, auth_time, provider, ip, user_agent)
    values (pg_catalog.sha256(new_token), session.identity_id, found.id, session.expires, session.auth_time,
            session.provider, session.ip, session.user_agent);
    return query select found.id, found.slug, found.name, found.role, session.expires;
end
$$;
comment on function tenantry.switch_tenant(bytea, bytea, text) is
    'Goes on in another tenant (id or slug) under a new token; the old one ends. Raises TN401, TN403, TN423.';

revoke all on function tenantry.session_of(bytea), tenantry.tenants_of(bytea), tenantry.switch_tenant(bytea, bytea, text) from public;
grant execute on function tenantry.tenants_of(bytea), tenantry.switch_tenant(bytea, bytea, text) to tenantry_auth;
reset role;

-- What operators and demo data use: never reachable from a request. BYPASSRLS, because there is no tenant to enter yet.
set local role tenantry_system;

create or replace function tenantry.create_tenant(slug text, name text) returns uuid
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    made uuid;
begin
    insert into tenantry.tenants as n (slug, name) values (create_tenant.slug, create_tenant.name) on conflict do nothing;
    select n.id into made from tenantry.tenants n where n.slug = create_tenant.slug;
    return made;
end
$$;
comment on function tenantry.create_tenant(text, text) is 'Makes a tenant, or finds the one of this slug.';

create or replace function tenantry.add_member(tenant uuid, email text, name text, role text) returns uuid
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    person uuid;
    made uuid;
begin
    insert into public.auth_identities as i (email, name) values (pg_catalog.lower(add_member.email), add_member.name)
        on conflict do nothing;
    select i.id into person from public.auth_identities i where i.email = pg_catalog.lower(add_member.email);
    insert into public.users as u (tenant_id, identity_id, email, name, role)
    values (tenant, person, pg_catalog.lower(add_member.email), add_member.name, add_member.role)
        on conflict do nothing;
    select u.id into made from public.users u where u.tenant_id = tenant and u.identity_id = person;
    return made;
end
$$;
comment on function tenantry.add_member(uuid, text, text, text) is 'Makes a person a member of a tenant; one that is there already stays as it is.';

create or replace function tenantry.create_session(token bytea, email text, tenant uuid, lives interval) returns uuid
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    made uuid;
begin
    insert into public.auth_sessions as s (token_hash, identity_id, tenant_id, expires)
    select pg_catalog.sha256(token), i.id, u.tenant_id, pg_catalog.now() + lives
      from public.auth_identities i
      join public.users u on u.identity_id = i.id and u.tenant_id = tenant
     where i.email = pg_catalog.lower(create_session.email)
        on conflict (token_hash) do update set expires = excluded.expires
    returning s.id into made;
    if made is null then
        raise exception 'nobody of this address is a member of this tenant' using errcode = 'TN404';
    end if;
    return made;
end
$$;
comment on function tenantry.create_session(bytea, text, uuid, interval) is 'Signs a member in by a token of the caller''s making. Raises TN404.';

revoke all on function tenantry.create_tenant(text, text), tenantry.add_member(uuid, text, text, text),
    tenantry.create_session(bytea, text, uuid, interval) from public;
grant execute on function tenantry.create_tenant(text, text), tenantry.add_member(uuid, text, text, text),
    tenantry.create_session(bytea, text, uuid, interval) to tenantry_migrate;
reset role;

set local role tenantry_owner;
insert into tenantry.allowed_definer (function, why)
values ('tenantry.tenants_of(bytea)', 'Who holds a session''s token sees its person''s tenants; for tenantry_auth.'),
       ('tenantry.switch_tenant(bytea,bytea,text)', 'Rotates the session into another of its person''s tenants; for tenantry_auth.'),
       ('tenantry.create_tenant(text,text)', 'Makes a tenant; for tenantry_migrate.'),
       ('tenantry.add_member(uuid,text,text,text)', 'Makes a member; for tenantry_migrate.'),
       ('tenantry.create_session(bytea,text,uuid,interval)', 'Makes a session; for tenantry_migrate.')
    on conflict do nothing;
reset role;
