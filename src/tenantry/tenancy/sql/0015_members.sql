-- Invitations, members, sessions in a tenant, permissions that a tenant grants anew, API keys, and tenants that a person founds.
--
-- What is done inside a tenant belongs to tenantry_members, whom policies bind to it; what is done by a person before or beside a
-- tenant belongs to tenantry_signin. Each act leaves its line in audit_log. `visit` is what the trail keeps of the request.

set local role tenantry_owner;

select tenantry.put_policy('tenantry.permissions', 'tenantry_members', 'select', 'tenantry_members', 'true', null,
                           'A tenant sees what it may grant anew.');
select tenantry.put_policy('tenantry.permission_grants', 'tenantry_members', 'all', 'tenantry_members',
                           'tenant_id = (select public.get_current_tenant_id())', 'tenant_id = (select public.get_current_tenant_id())',
                           'An owner grants the permissions of the own tenant anew.');
select tenantry.put_grant('tenantry.permissions', 'tenantry_members', 'select');
select tenantry.put_grant('tenantry.permission_grants', 'tenantry_members', 'select');
select tenantry.put_grant('tenantry.permission_grants', 'tenantry_members', 'insert');
select tenantry.put_grant('tenantry.permission_grants', 'tenantry_members', 'delete');
select tenantry.put_policy('public.users', 'tenantry_signin_insert', 'insert', 'tenantry_signin', null, 'true',
                           'An accepted invitation, and a founded tenant, make a member.');
select tenantry.put_policy('public.users', 'tenantry_signin_update', 'update', 'tenantry_signin', 'true', 'true',
                           'A member who accepts a higher role is raised.');
select tenantry.put_grant('public.users', 'tenantry_signin', 'insert');
select tenantry.put_grant('public.users', 'tenantry_signin', 'update', '{role}');
select tenantry.put_policy('tenantry.tenants', 'tenantry_signin_insert', 'insert', 'tenantry_signin', null, 'true', 'found_tenant() makes one.');
select tenantry.put_grant('tenantry.tenants', 'tenantry_signin', 'insert');

create table public.auth_api_keys (
    id text constraint auth_api_keys_pkey primary key constraint auth_api_keys_id_check check (id ~ '^[0-9A-Za-z]{10}$'),
    tenant_id uuid not null constraint auth_api_keys_tenant_fk references tenantry.tenants on delete cascade,
    user_id uuid constraint auth_api_keys_user_fk references public.users on delete cascade,
    -- A service key is nobody's: what it does is done as this id, which is no member's.
    acts_as uuid not null default gen_random_uuid(),
    key_hash bytea not null constraint auth_api_keys_key_hash_check check (length(key_hash) = 32),
    name text not null constraint auth_api_keys_name_check check (length(name) between 1 and 100),
    role text not null constraint auth_api_keys_role_check check (role in ('owner', 'admin', 'member')),
    scopes text[] not null constraint auth_api_keys_scopes_check check (cardinality(scopes) between 1 and 50),
    expires timestamptz,
    created_by uuid,
    created_at timestamptz not null default now()
);
comment on table public.auth_api_keys is 'Keys of a member (gone with the membership), or of a tenant (service keys: no user_id). SHA-256 of the whole key.';
comment on constraint auth_api_keys_name_check on public.auth_api_keys is 'A name has 1 to 100 characters';
comment on constraint auth_api_keys_role_check on public.auth_api_keys is 'A role is owner, admin or member';
create index auth_api_keys_tenant_idx on public.auth_api_keys (tenant_id);
create index auth_api_keys_user_idx on public.auth_api_keys (user_id);
select tenantry.keep('public.auth_api_keys');
select tenantry.put_policy('public.auth_api_keys', 'tenantry_members', 'all', 'tenantry_members',
                           'tenant_id = (select public.get_current_tenant_id())', 'tenant_id = (select public.get_current_tenant_id())',
                           'Keys of the own tenant are made, listed and revoked.');
select tenantry.put_policy('public.auth_api_keys', 'tenantry_gate', 'select', 'tenantry_gate', 'true', null,
                           'enter() finds the one key that is presented.');
select tenantry.put_grant('public.auth_api_keys', 'tenantry_members', 'select');
select tenantry.put_grant('public.auth_api_keys', 'tenantry_members', 'insert');
select tenantry.put_grant('public.auth_api_keys', 'tenantry_members', 'delete');
select tenantry.put_grant('public.auth_api_keys', 'tenantry_gate', 'select');

delete from tenantry.allowed_definer where function in ('tenantry.set_role(uuid,text,text)', 'tenantry.remove_member(uuid)');
reset role;

-- A row that leaves the tenant is one that tenantry_members no longer sees, so it cannot be the one to move it.
set local role tenantry_signin;
create or replace function tenantry.move_sessions_out(person uuid, tenant uuid) returns integer
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    moved integer;
begin
    update public.auth_sessions s set tenant_id = null where s.identity_id = person and s.tenant_id = tenant;
    get diagnostics moved = row_count;
    return moved;
end
$$;
comment on function tenantry.move_sessions_out(uuid, uuid) is 'A person''s sessions go on in no tenant; for end_sessions(), which judges.';
revoke all on function tenantry.move_sessions_out(uuid, uuid) from public;
grant execute on function tenantry.move_sessions_out(uuid, uuid) to tenantry_members;
reset role;

set local role tenantry_members;

-- 0008's, with the lesser of the sealed role and the member's: what an API key may not, its bearer may not either.
create or replace function tenantry.role_after_lock() returns text
    language plpgsql volatile set search_path = ''
as $$
declare
    mine text;
begin
    perform from tenantry.tenants n where n.id = (select public.get_current_tenant_id()) for update;
    select u.role into mine from public.users u where u.id = (select tenantry.user_id());
    if tenantry.rank(tenantry.role()) < tenantry.rank(mine) then
        mine := tenantry.role();
    end if;
    return mine;
end
$$;

create or replace function tenantry.me() returns uuid
    language sql stable set search_path = ''
    begin atomic
        select u.identity_id from public.users u where u.id = (select tenantry.user_id());
    end;
comment on function tenantry.me() is 'The person behind the sealed user; null for a service key.';

create or replace function tenantry.trail(action text, subject text, detail jsonb, visit text) returns void
    language sql volatile set search_path = ''
    begin atomic
        select tenantry.audit(public.get_current_tenant_id(), action, tenantry.me(), subject, detail, visit::jsonb);
    end;
comment on function tenantry.trail(text, text, jsonb, text) is 'A line of the trail about the current tenant, by the sealed user.';

drop function tenantry.set_role(uuid, text, text);
create or replace function tenantry.set_role(member uuid, new_role text, new_name text default null, visit text default null)
    returns setof public.users
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    mine constant text := tenantry.role_after_lock();
    theirs text;
begin
    select u.role into theirs from public.users u where u.id = member;
    if theirs is null then
        raise exception 'Not found' using errcode = 'TN404';
    end if;
    if coalesce(tenantry.rank(mine), 0) < 2 or tenantry.rank(theirs) > tenantry.rank(mine)
       or tenantry.rank(new_role) not between 1 and tenantry.rank(mine) then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    if theirs = 'owner' and new_role <> 'owner' then
        perform tenantry.keep_an_owner(member);
    end if;
    if theirs <> new_role then
        perform tenantry.trail('role_changed', member::text, pg_catalog.jsonb_build_object('from', theirs, 'to', new_role), visit);
    end if;
    return query update public.users as u set role = new_role, name = coalesce(new_name, u.name) where u.id = member returning u.*;
end
$$;
comment on function tenantry.set_role(uuid, text, text, text) is 'Gives a member another role, and a name if one is given. Raises TN403, TN404, TN412.';

drop function tenantry.remove_member(uuid);
create or replace function tenantry.remove_member(member uuid, visit text default null) returns uuid
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    mine constant text := tenantry.role_after_lock();
    theirs public.users;
begin
    select * into theirs from public.users u where u.id = member;
    if theirs.id is null then
        raise exception 'Not found' using errcode = 'TN404';
    end if;
    if member is distinct from tenantry.user_id()
       and (coalesce(tenantry.rank(mine), 0) < 2 or tenantry.rank(theirs.role) > tenantry.rank(mine)) then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    if theirs.role = 'owner' then
        perform tenantry.keep_an_owner(member);
    end if;
    perform tenantry.trail(case when member = tenantry.user_id() then 'member_left' else 'member_removed' end, member::text,
                           pg_catalog.jsonb_build_object('email', theirs.email, 'role', theirs.role), visit);
    delete from public.auth_sessions s where s.identity_id = theirs.identity_id;
    delete from public.users u where u.id = member;
    return member;
end
$$;
comment on function tenantry.remove_member(uuid, text) is
    'Ends a membership, its sessions in this tenant, and its keys: one''s own, or as admin another''s. Raises TN403, TN404, TN412.';

create or replace function tenantry.transfer_ownership(member uuid, visit text) returns setof public.users
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    mine constant text := tenantry.role_after_lock();
    theirs text;
begin
    if mine is distinct from 'owner' then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    select u.role into theirs from public.users u where u.id = member;
    if theirs is null or member = tenantry.user_id() then
        raise exception 'Not found' using errcode = 'TN404';
    end if;
    update public.users u set role = 'owner' where u.id = member;
    update public.users u set role = 'admin' where u.id = tenantry.user_id();
    perform tenantry.trail('role_changed', member::text, pg_catalog.jsonb_build_object('from', theirs, 'to', 'owner', 'by', 'transfer'), visit);
    perform tenantry.trail('role_changed', tenantry.user_id()::text, '{"from": "owner", "to": "admin", "by": "transfer"}', visit);
    return query select u.* from public.users u where u.id = member;
end
$$;
comment on function tenantry.transfer_ownership(uuid, text) is 'Another member becomes owner, the caller admin, at once. Raises TN403, TN404.';

create or replace function tenantry.end_sessions(member uuid, visit text) returns integer
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    person uuid;
    ended integer;
begin
    if tenantry.role_after_lock() is distinct from 'owner' then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    select u.identity_id into person from public.users u where u.id = member;
    if person is null then
        raise exception 'Not found' using errcode = 'TN404';
    end if;
    ended := tenantry.move_sessions_out(person, public.get_current_tenant_id());
    perform tenantry.trail('session_revoked', member::text, pg_catalog.jsonb_build_object('sessions', ended, 'by', 'owner'), visit);
    return ended;
end
$$;
comment on function tenantry.end_sessions(uuid, text) is 'Moves a member''s sessions out of this tenant; owners. Raises TN403, TN404.';

create or replace function tenantry.invite(address text, new_role text, token_hash bytea, seconds integer, visit text)
    returns table (id uuid, email text, role text, expires timestamptz, tenant_name text, tenant uuid)
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    mine constant text := tenantry.role_after_lock();
begin
    if coalesce(tenantry.rank(mine), 0) < 2 or tenantry.rank(new_role) not between 1 and tenantry.rank(mine) then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    if exists (select from public.users u where u.email = address) then
        raise exception 'This person is a member already' using errcode = 'TN422';
    end if;
    if (select pg_catalog.count(*) from public.auth_invitations n where n.expires > pg_catalog.now()) >= 500 then
        raise exception 'Too many invitations are open' using errcode = 'TN422';
    end if;
    delete from public.auth_invitations n where n.email = address;
    perform tenantry.trail('invite_created', address, pg_catalog.jsonb_build_object('role', new_role), visit);
    return query
    insert into public.auth_invitations as n (tenant_id, email, role, token_hash, invited_by, expires)
    values (public.get_current_tenant_id(), address, new_role, invite.token_hash, tenantry.me(),
            pg_catalog.now() + pg_catalog.make_interval(secs => seconds))
    returning n.id, n.email, n.role, n.expires,
              (select t.name from tenantry.tenants t where t.id = n.tenant_id), n.tenant_id;
end
$$;
comment on function tenantry.invite(text, text, bytea, integer, text) is 'Asks an address into this tenant; an older invitation of it goes. Raises TN403, TN422.';

create or replace function tenantry.invitations()
    returns table (id uuid, email text, role text, expires timestamptz, created_at timestamptz, invited_by uuid)
    language plpgsql stable security definer set search_path = ''
as $$
begin
    perform tenantry.require(tenantry.role() in ('owner', 'admin'));
    return query
    select n.id, n.email, n.role, n.expires, n.created_at, u.id
      from public.auth_invitations n
      left join public.users u on u.identity_id = n.invited_by and u.tenant_id = n.tenant_id
     where n.expires > pg_catalog.now()
     order by n.created_at, n.id;
end
$$;
comment on function tenantry.invitations() is 'The open invitations of this tenant, for admins. Raises TN403.';

create or replace function tenantry.revoke_invitation(invitation uuid, visit text) returns uuid
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    gone public.auth_invitations;
    mine constant text := tenantry.role_after_lock();
begin
    if coalesce(tenantry.rank(mine), 0) < 2 then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    delete from public.auth_invitations n where n.id = invitation returning * into gone;
    if gone.id is null then
        raise exception 'Not found' using errcode = 'TN404';
    end if;
    if tenantry.rank(gone.role) > tenantry.rank(mine) then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    perform tenantry.trail('invite_revoked', gone.email, null, visit);
    return gone.id;
end
$$;
comment on function tenantry.revoke_invitation(uuid, text) is 'Takes an invitation back. Raises TN403, TN404.';

create or replace function tenantry.permissions_here() returns table (name text, says text, least_role text, is_regranted boolean)
    language sql stable security definer set search_path = ''
    begin atomic
        select p.name, p.says, coalesce(g.least, p.least), g.least is not null
          from tenantry.permissions p
          left join tenantry.permission_grants g on g.permission = p.name and g.tenant_id = (select public.get_current_tenant_id())
         order by p.name;
    end;
comment on function tenantry.permissions_here() is 'Every permission with the least role that has it in this tenant.';

create or replace function tenantry.regrant(permission_name text, new_least text, visit text) returns text
    language plpgsql volatile security definer set search_path = ''
as $$
begin
    if tenantry.role_after_lock() is distinct from 'owner' then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    if not exists (select from tenantry.permissions p where p.name = permission_name) then
        raise exception 'Not found' using errcode = 'TN404';
    end if;
    delete from tenantry.permission_grants g where g.permission = permission_name;
    if new_least is not null then
        insert into tenantry.permission_grants (tenant_id, permission, least)
        values (public.get_current_tenant_id(), permission_name, new_least);
    end if;
    perform tenantry.trail('permission_regranted', permission_name, pg_catalog.jsonb_build_object('least', new_least), visit);
    return permission_name;
end
$$;
comment on function tenantry.regrant(text, text, text) is 'This tenant''s own least role for a permission, or the application''s again (null); owners. Raises TN403, TN404.';

create or replace function tenantry.create_key(
    key_id text, key_hash bytea, key_name text, key_role text, key_scopes text[], seconds integer, is_service boolean, visit text
) returns timestamptz
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    mine constant text := tenantry.role_after_lock();
    ends constant timestamptz := pg_catalog.now() + pg_catalog.make_interval(secs => seconds);
begin
    if tenantry.rank(key_role) not between 1 and coalesce(tenantry.rank(mine), 0)
       or ((is_service or 'admin:*' = any (key_scopes)) and mine is distinct from 'owner') then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    if (select pg_catalog.count(*) from public.auth_api_keys k) >= 1000 then
        raise exception 'There are too many keys' using errcode = 'TN422';
    end if;
    insert into public.auth_api_keys (id, tenant_id, user_id, key_hash, name, role, scopes, expires, created_by)
    values (key_id, public.get_current_tenant_id(), case when not is_service then tenantry.user_id() end, create_key.key_hash,
            key_name, key_role, key_scopes, ends, tenantry.me());
    perform tenantry.trail('api_key_created', key_id,
                           pg_catalog.jsonb_build_object('role', key_role, 'scopes', key_scopes, 'is_service', is_service), visit);
    return ends;
end
$$;
comment on function tenantry.create_key(text, bytea, text, text, text[], integer, boolean, text) is
    'Keeps a key''s hash: a member''s own, or as owner the tenant''s. Raises TN403, TN422.';

create or replace function tenantry.api_keys()
    returns table (id text, name text, role text, scopes text[], is_service boolean, user_id uuid, expires timestamptz, created_at timestamptz)
    language sql stable security definer set search_path = ''
    begin atomic
        select k.id, k.name, k.role, k.scopes, k.user_id is null, k.user_id, k.expires, k.created_at
          from public.auth_api_keys k
         where k.user_id = (select tenantry.user_id()) or (select tenantry.role()) in ('owner', 'admin')
         order by k.created_at, k.id;
    end;
comment on function tenantry.api_keys() is 'One''s own keys; for admins all of the tenant''s.';

create or replace function tenantry.revoke_key(key_id text, visit text) returns text
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    key public.auth_api_keys;
    mine constant text := tenantry.role_after_lock();
begin
    select * into key from public.auth_api_keys k where k.id = key_id;
    if key.id is null or (key.user_id is distinct from tenantry.user_id() and coalesce(tenantry.rank(mine), 0) < 2) then
        raise exception 'Not found' using errcode = 'TN404';
    end if;
    if key.user_id is null and mine is distinct from 'owner' then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    delete from public.auth_api_keys k where k.id = key_id;
    perform tenantry.trail('api_key_revoked', key_id, null, visit);
    return key_id;
end
$$;
comment on function tenantry.revoke_key(text, text) is 'Ends a key: one''s own, as admin a member''s, as owner a service key. Raises TN403, TN404.';

revoke all on function tenantry.me(), tenantry.trail(text, text, jsonb, text), tenantry.set_role(uuid, text, text, text),
    tenantry.remove_member(uuid, text), tenantry.transfer_ownership(uuid, text), tenantry.end_sessions(uuid, text),
    tenantry.invite(text, text, bytea, integer, text), tenantry.invitations(), tenantry.revoke_invitation(uuid, text),
    tenantry.permissions_here(), tenantry.regrant(text, text, text),
    tenantry.create_key(text, bytea, text, text, text[], integer, boolean, text), tenantry.api_keys(), tenantry.revoke_key(text, text)
    from public;
grant execute on function tenantry.set_role(uuid, text, text, text), tenantry.remove_member(uuid, text),
    tenantry.transfer_ownership(uuid, text), tenantry.end_sessions(uuid, text), tenantry.invite(text, text, bytea, integer, text),
    tenantry.invitations(), tenantry.revoke_invitation(uuid, text), tenantry.permissions_here(), tenantry.regrant(text, text, text),
    tenantry.create_key(text, bytea, text, text, text[], integer, boolean, text), tenantry.api_keys(), tenantry.revoke_key(text, text)
    to platform;
reset role;

-- What a person does beside a tenant: over tenantry_auth.
set local role tenantry_signin;

create or replace function tenantry.sessions_of(credential bytea)
    returns table (id uuid, created_at timestamptz, last_seen_at timestamptz, expires timestamptz, provider text, ip text,
                   user_agent text, tenant_name text, is_current boolean)
    language plpgsql stable security definer set search_path = ''
as $$
declare
    session constant public.auth_sessions := tenantry.session_of(credential);
begin
    return query
    select s.id, s.created_at, s.last_seen_at, s.expires, s.provider, pg_catalog.host(s.ip), s.user_agent, n.name, s.id = session.id
      from public.auth_sessions s
      left join tenantry.tenants n on n.id = s.tenant_id
     where s.identity_id = session.identity_id and s.expires > pg_catalog.now()
     order by s.id = session.id desc, s.created_at desc
     limit 200;
end
$$;
comment on function tenantry.sessions_of(bytea) is 'The live sessions of a session''s person. Raises TN401.';

create or replace function tenantry.revoke_sessions(credential bytea, one uuid, visit text) returns integer
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    session constant public.auth_sessions := tenantry.session_of(credential);
    ended integer;
begin
    delete from public.auth_sessions s
     where s.identity_id = session.identity_id and (s.id = one or (one is null and s.id <> session.id));
    get diagnostics ended = row_count;
    if one is not null and ended = 0 then
        raise exception 'Not found' using errcode = 'TN404';
    end if;
    perform tenantry.audit(session.tenant_id, 'session_revoked', session.identity_id, one::text,
                           pg_catalog.jsonb_build_object('sessions', ended), visit::jsonb);
    return ended;
end
$$;
comment on function tenantry.revoke_sessions(bytea, uuid, text) is 'Ends one of the person''s sessions, or (null) all but this one. Raises TN401, TN404.';

create or replace function tenantry.peek_invitation(hash bytea)
    returns table (tenant_name text, email text, role text)
    language sql stable security definer set search_path = ''
    begin atomic
        select t.name, n.email, n.role
          from public.auth_invitations n
          join tenantry.tenants t on t.id = n.tenant_id and t.status = 'active'
         where n.token_hash = hash and n.expires > pg_catalog.now();
    end;
comment on function tenantry.peek_invitation(bytea) is 'What an invitation is to; changes nothing.';

create or replace function tenantry.accept_invitation(
    credential bytea, hash bytea, new_token bytea, visit text, out outcome text, out expires timestamptz
)
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    session constant public.auth_sessions := tenantry.session_of(credential);
    person public.auth_identities;
    invitation public.auth_invitations;
    inviter text;
    mine text;
begin
    select * into person from public.auth_identities i where i.id = session.identity_id;
    select * into invitation from public.auth_invitations n where n.token_hash = hash and n.expires > pg_catalog.now();
    if invitation.id is null
       or not exists (select from tenantry.tenants t where t.id = invitation.tenant_id and t.status = 'active') then
        outcome := 'gone';
        return;
    end if;
    if person.email <> invitation.email then
        outcome := 'other_address';
        return;
    end if;
    -- The inviter's role counts as it is now.
    if not invitation.is_by_operator then
        select u.role into inviter from public.users u where u.tenant_id = invitation.tenant_id and u.identity_id = invitation.invited_by;
        if inviter is null or inviter = 'member' or (invitation.role = 'owner' and inviter <> 'owner') then
            outcome := 'gone';
            return;
        end if;
    end if;
    delete from public.auth_invitations n where n.id = invitation.id;
    if not found then
        outcome := 'gone';   -- of two who press the button at once, one is first
        return;
    end if;
    select u.role into mine from public.users u where u.tenant_id = invitation.tenant_id and u.identity_id = person.id;
    if mine is null then
        insert into public.users (tenant_id, identity_id, email, name, role)
        values (invitation.tenant_id, person.id, person.email,
                coalesce(nullif(pg_catalog.btrim(person.name), ''), pg_catalog.split_part(person.email, '@', 1)), invitation.role);
    elsif (mine, invitation.role) in (('member', 'admin'), ('member', 'owner'), ('admin', 'owner')) then
        update public.users u set role = invitation.role where u.tenant_id = invitation.tenant_id and u.identity_id = person.id;
    end if;
    -- The token came by mail to this address.
    update public.auth_identities i
       set email_verified = coalesce(i.email_verified, pg_catalog.now()), last_tenant_id = invitation.tenant_id
     where i.id = person.id;
    delete from public.auth_sessions s where s.id = session.id;
    insert into public.auth_sessions (token_hash, identity_id, tenant_id, expires, last_seen_at, auth_time, provider, ip, user_agent)
    values (pg_catalog.sha256(new_token), person.id, invitation.tenant_id, session.expires, pg_catalog.now(), session.auth_time,
            session.provider, session.ip, session.user_agent);
    perform tenantry.audit(invitation.tenant_id, 'invite_accepted', person.id, invitation.email,
                           pg_catalog.jsonb_build_object('role', invitation.role), visit::jsonb);
    outcome := 'ok';
    expires := session.expires;
end
$$;
comment on function tenantry.accept_invitation(bytea, bytea, bytea, text) is
    'Uses an invitation, once, for the person whose address it names, and goes on in its tenant under a new token. Raises TN401.';

create or replace function tenantry.found_tenant(credential bytea, new_token bytea, slug text, name text, visit text)
    returns table (tenant_id uuid, expires timestamptz)
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    session constant public.auth_sessions := tenantry.session_of(credential);
    person public.auth_identities;
    made uuid;
begin
    -- One at a time for a person, so that the bound holds.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('tenantry.founder:' || session.identity_id::text, 0));
    if (select pg_catalog.count(*) from public.users u where u.identity_id = session.identity_id and u.role = 'owner') >= 25 then
        raise exception 'You own too many tenants already' using errcode = 'TN422';
    end if;
    select * into person from public.auth_identities i where i.id = session.identity_id;
    insert into tenantry.tenants as n (slug, name) values (found_tenant.slug, found_tenant.name) on conflict do nothing
    returning n.id into made;
    if made is null then
        raise exception 'This slug is taken already' using errcode = 'TN422';
    end if;
    insert into public.users (tenant_id, identity_id, email, name, role)
    values (made, person.id, person.email,
            coalesce(nullif(pg_catalog.btrim(person.name), ''), pg_catalog.split_part(person.email, '@', 1)), 'owner');
    update public.auth_identities i set last_tenant_id = made where i.id = person.id;
    delete from public.auth_sessions s where s.id = session.id;
    insert into public.auth_sessions (token_hash, identity_id, tenant_id, expires, last_seen_at, auth_time, provider, ip, user_agent)
    values (pg_catalog.sha256(new_token), person.id, made, session.expires, pg_catalog.now(), session.auth_time, session.provider,
            session.ip, session.user_agent);
    perform tenantry.audit(made, 'tenant_created', person.id, found_tenant.slug, null, visit::jsonb);
    return query select made, session.expires;
end
$$;
comment on function tenantry.found_tenant(bytea, bytea, text, text, text) is 'A tenant of one''s own, entered under a new token. Raises TN401, TN422.';

revoke all on function tenantry.sessions_of(bytea), tenantry.revoke_sessions(bytea, uuid, text), tenantry.peek_invitation(bytea),
    tenantry.accept_invitation(bytea, bytea, bytea, text), tenantry.found_tenant(bytea, bytea, text, text, text) from public;
grant execute on function tenantry.sessions_of(bytea), tenantry.revoke_sessions(bytea, uuid, text), tenantry.peek_invitation(bytea),
    tenantry.accept_invitation(bytea, bytea, bytea, text), tenantry.found_tenant(bytea, bytea, text, text, text) to tenantry_auth;
reset role;

-- The trail's seal: closed batches, chained by hashes, made in the background, so that writers never queue for the chain.
set local role tenantry_owner;
create table tenantry.audit_seals (
    number bigint constraint audit_seals_pkey primary key,
    until timestamptz not null,
    lines bigint not null,
    hash bytea not null constraint audit_seals_hash_check check (length(hash) = 32),
    sealed_at timestamptz not null default now(),
    pruned_at timestamptz
);
comment on table tenantry.audit_seals is
    'Batch n holds the lines of audit_log from batch n-1''s end to its own; its hash covers them and the hash before. Note the last one elsewhere.';
select tenantry.keep('tenantry.audit_seals');
select tenantry.put_policy('tenantry.audit_seals', 'tenantry_ops', 'select', 'tenantry_ops', 'true', null, 'How far the trail is sealed.');
select tenantry.put_grant('tenantry.audit_seals', 'tenantry_ops', 'select');
reset role;

set local role tenantry_signal;
create or replace function tenantry.oldest_transaction() returns timestamptz
    language sql stable security definer set search_path = ''
    begin atomic
        select least(
            coalesce((select pg_catalog.min(a.xact_start) from pg_catalog.pg_stat_activity a
                       where a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid()), pg_catalog.now()),
            coalesce((select pg_catalog.min(p.prepared) from pg_catalog.pg_prepared_xacts p
                       where p.database = pg_catalog.current_database()), pg_catalog.now()));
    end;
comment on function tenantry.oldest_transaction() is 'When the oldest running transaction here began: lines of the trail from before it are all there.';
revoke all on function tenantry.oldest_transaction() from public;
grant execute on function tenantry.oldest_transaction() to tenantry_system;
reset role;

set local role tenantry_system;
create or replace function tenantry.audit_hash(since timestamptz, until timestamptz, before bytea, out lines bigint, out hash bytea)
    language sql stable set search_path = ''
    begin atomic
        select pg_catalog.count(*),
               pg_catalog.sha256(before || pg_catalog.convert_to(pg_catalog.to_json(until)::text, 'UTF8')
                   || coalesce(pg_catalog.string_agg(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array(
                       l.id, l.at, l.tenant_id, l.action, l.identity_id, l.subject, l.detail, l.ip, l.user_agent, l.request_id)::text, 'UTF8')), ''::bytea
                                                     order by l.at, l.id), ''::bytea))
          from public.audit_log l
         where l.at >= since and l.at < until;
    end;
comment on function tenantry.audit_hash(timestamptz, timestamptz, bytea) is 'The hash of the lines between two moments, over the hash before.';

create or replace function tenantry.audit_seal() returns bigint
    language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    last tenantry.audit_seals;
    -- A second behind: a transaction has its time a moment before the others see that it runs.
    closes constant timestamptz := least(tenantry.oldest_transaction(), pg_catalog.now() - interval '1 second');
    made record;
begin
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('tenantry.audit_seal', 0));
    select * into last from tenantry.audit_seals s order by s.number desc limit 1;
    if closes <= coalesce(last.until, '-infinity')
       or not exists (select from public.audit_log l where l.at >= coalesce(last.until, '-infinity') and l.at < closes) then
        return 0;
    end if;
    select * into made from tenantry.audit_hash(coalesce(last.until, '-infinity'), closes, coalesce(last.hash, ''));
    insert into tenantry.audit_seals (number, until, lines, hash) values (coalesce(last.number, 0) + 1, closes, made.lines, made.hash);
    return made.lines;
end
$$;
comment on function tenantry.audit_seal() is 'Seals what is closed: every line from before the oldest running transaction. How many lines.';

create or replace function tenantry.audit_verify() returns table (number bigint, until timestamptz, lines bigint, hash text, is_whole boolean, is_pruned boolean)
    language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    one tenantry.audit_seals;
    since timestamptz := '-infinity';
    before bytea := '';
    expected bigint := 1;
    found record;
begin
    for one in select * from tenantry.audit_seals s order by s.number loop
        select * into found from tenantry.audit_hash(since, one.until, before);
        number := one.number;
        until := one.until;
        lines := one.lines;
        hash := pg_catalog.encode(one.hash, 'hex');
        is_pruned := one.pruned_at is not null;
        -- What retention took is gone, and the chain goes on from its hash.
        is_whole := one.number = expected and (is_pruned and found.lines = 0 or found.hash = one.hash and found.lines = one.lines);
        return next;
        since := one.until;
        before := one.hash;
        expected := one.number + 1;
    end loop;
end
$$;
comment on function tenantry.audit_verify() is 'Every batch of the trail, and whether it is as it was sealed.';

create or replace function tenantry.audit_prune(keep interval) returns bigint
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    last tenantry.audit_seals;
    gone bigint;
begin
    if keep < interval '30 days' then
        raise exception 'the trail is kept for 30 days at least' using errcode = '22023';
    end if;
    -- Whole sealed batches only: a half one could not be proved any more.
    select * into last from tenantry.audit_seals s where s.until < pg_catalog.now() - keep order by s.number desc limit 1;
    if last.number is null then
        return 0;
    end if;
    delete from public.audit_log l where l.at < last.until;
    get diagnostics gone = row_count;
    update tenantry.audit_seals s set pruned_at = pg_catalog.now() where s.number <= last.number and s.pruned_at is null;
    perform tenantry.audit(null, 'audit_pruned', null, last.number::text, pg_catalog.jsonb_build_object('lines', gone), null);
    return gone;
end
$$;
comment on function tenantry.audit_prune(interval) is 'Retention: deletes sealed batches that are older; never under 30 days.';

create or replace function tenantry.audit_export(of_tenant uuid, since timestamptz, until timestamptz) returns setof json
    language sql stable security definer set search_path = ''
    begin atomic
        select pg_catalog.row_to_json(l)
          from public.audit_log l
         where (of_tenant is null or l.tenant_id = of_tenant)
           and l.at >= coalesce(since, '-infinity') and l.at < coalesce(audit_export.until, 'infinity')
         order by l.at, l.id;
    end;
comment on function tenantry.audit_export(uuid, timestamptz, timestamptz) is 'The trail as JSON, a line each; for operators.';

revoke all on function tenantry.audit_hash(timestamptz, timestamptz, bytea), tenantry.audit_seal(), tenantry.audit_verify(),
    tenantry.audit_prune(interval), tenantry.audit_export(uuid, timestamptz, timestamptz) from public;
grant execute on function tenantry.audit_seal(), tenantry.audit_verify() to tenantry_auth, tenantry_ops, tenantry_migrate;
grant execute on function tenantry.audit_prune(interval), tenantry.audit_export(uuid, timestamptz, timestamptz) to tenantry_migrate;
reset role;

-- The operator's: a tenant whose owner has to accept.
set local role tenantry_signin;
grant execute on function tenantry.best_tenant(uuid) to tenantry_system;
reset role;
set local role tenantry_system;
create or replace function tenantry.invite_owner(tenant uuid, address text, hash bytea, seconds integer) returns uuid
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    made uuid;
begin
    delete from public.auth_invitations n where n.tenant_id = tenant and n.email = address;
    insert into public.auth_invitations as n (tenant_id, email, role, token_hash, is_by_operator, expires)
    values (tenant, address, 'owner', hash, true, pg_catalog.now() + pg_catalog.make_interval(secs => seconds))
    returning n.id into made;
    perform tenantry.audit(tenant, 'invite_created', null, address, '{"role": "owner", "by": "operator"}', null);
    return made;
end
$$;
comment on function tenantry.invite_owner(uuid, text, bytea, integer) is 'Asks the first owner into a tenant; for tenantry_migrate.';

create or replace function tenantry.import_person(person jsonb, tenant uuid) returns uuid
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    made uuid;
begin
    insert into public.auth_identities as i (email, name, image, email_verified)
    values (person ->> 'email', pg_catalog."left"(person ->> 'name', 200), pg_catalog."left"(person ->> 'image', 2000),
            case when (person ->> 'is_verified')::boolean then pg_catalog.now() end)
        on conflict do nothing;
    select i.id into made from public.auth_identities i where i.email = person ->> 'email';
    insert into public.auth_accounts (provider, provider_account_id, identity_id, type)
    select a ->> 'provider', a ->> 'account', made, coalesce(a ->> 'type', 'oidc')
      from pg_catalog.jsonb_array_elements(person -> 'accounts') a
        on conflict do nothing;
    if tenant is not null then
        perform tenantry.add_member(tenant, person ->> 'email',
                                    coalesce(nullif(pg_catalog.btrim(pg_catalog."left"(person ->> 'name', 200)), ''),
                                             pg_catalog.split_part(person ->> 'email', '@', 1)), 'member');
    end if;
    insert into public.auth_sessions (token_hash, identity_id, tenant_id, expires, provider)
    select pg_catalog.decode(s ->> 'hash', 'hex'), made, coalesce(tenant, tenantry.best_tenant(made)), (s ->> 'expires')::timestamptz, 'import'
      from pg_catalog.jsonb_array_elements(person -> 'sessions') s
        on conflict do nothing;
    perform tenantry.audit(tenant, 'person_imported', made, null, null, null);
    return made;
end
$$;
comment on function tenantry.import_person(jsonb, uuid) is 'A person of an Auth.js database with accounts and (hashed) sessions; for tenantry_migrate.';
revoke all on function tenantry.invite_owner(uuid, text, bytea, integer), tenantry.import_person(jsonb, uuid) from public;
grant execute on function tenantry.invite_owner(uuid, text, bytea, integer), tenantry.import_person(jsonb, uuid) to tenantry_migrate;
reset role;

set local role tenantry_owner;
insert into tenantry.allowed_definer (function, why)
values ('tenantry.oldest_transaction()', 'Reads when transactions began; for tenantry_system.'),
       ('tenantry.audit_seal()', 'Chains closed batches of the trail; for tenantry_auth, tenantry_ops, tenantry_migrate.'),
       ('tenantry.audit_verify()', 'Recomputes the chain; for tenantry_auth, tenantry_ops, tenantry_migrate.'),
       ('tenantry.audit_prune(interval)', 'Retention of the trail; for tenantry_migrate.'),
       ('tenantry.audit_export(uuid,timestamptz,timestamptz)', 'Reads every tenant''s trail; for tenantry_migrate.'),
       ('tenantry.move_sessions_out(uuid,uuid)', 'Moves sessions out of a tenant; for tenantry_members.'),
       ('tenantry.set_role(uuid,text,text,text)', 'Changes a role after judging both; platform may not write roles.'),
       ('tenantry.remove_member(uuid,text)', 'Ends a membership and its sessions after judging both; platform may delete neither.'),
       ('tenantry.transfer_ownership(uuid,text)', 'Changes two roles at once, for an owner.'),
       ('tenantry.end_sessions(uuid,text)', 'Moves a member''s sessions out of the tenant, for an owner.'),
       ('tenantry.invite(text,text,bytea,integer,text)', 'Makes an invitation after judging; platform reaches none.'),
       ('tenantry.invitations()', 'Shows the tenant''s open invitations to admins, without their tokens'' hashes.'),
       ('tenantry.revoke_invitation(uuid,text)', 'Takes an invitation of the tenant back, for admins.'),
       ('tenantry.permissions_here()', 'Shows the permissions as they hold in the tenant.'),
       ('tenantry.regrant(text,text,text)', 'Changes a permission''s least role in the tenant, for owners.'),
       ('tenantry.create_key(text,bytea,text,text,text[],integer,boolean,text)', 'Keeps a key''s hash after judging; platform reaches no keys.'),
       ('tenantry.api_keys()', 'Shows keys of the tenant without their hashes.'),
       ('tenantry.revoke_key(text,text)', 'Ends a key of the tenant after judging.'),
       ('tenantry.sessions_of(bytea)', 'Who holds a token sees its person''s sessions; for tenantry_auth.'),
       ('tenantry.revoke_sessions(bytea,uuid,text)', 'Who holds a token ends its person''s sessions; for tenantry_auth.'),
       ('tenantry.peek_invitation(bytea)', 'Who holds an invitation''s token sees what it is to; for tenantry_auth.'),
       ('tenantry.accept_invitation(bytea,bytea,bytea,text)', 'Makes a member of who holds token and address; for tenantry_auth.'),
       ('tenantry.found_tenant(bytea,bytea,text,text,text)', 'Makes a tenant of a person''s own; for tenantry_auth.'),
       ('tenantry.import_person(jsonb,uuid)', 'Takes a person over from Auth.js; for tenantry_migrate.'),
       ('tenantry.invite_owner(uuid,text,bytea,integer)', 'Asks the first owner; for tenantry_migrate.')
    on conflict do nothing;
reset role;
