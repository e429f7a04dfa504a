-- Members and the tenant itself: who may change what is decided here, in the statement that acts.
--
-- owner > admin > member; nobody grants above themselves, an admin never touches an owner, a tenant keeps one owner. The functions
-- are SECURITY DEFINER, because platform may change nothing but names; their owner is bound to the current tenant by policies.

set local role tenantry_owner;

select tenantry.keep('tenantry.migrations');
select tenantry.put_policy('tenantry.migrations', 'tenantry_owner', 'all', 'tenantry_owner', 'true', 'true', 'db push writes it.');
select tenantry.put_policy('tenantry.migrations', 'tenantry_select', 'select', 'public', 'true', null,
                           'What was applied is no secret: the start check reads it.');
select tenantry.put_grant('tenantry.migrations', 'platform', 'select');
select tenantry.put_grant('tenantry.migrations', 'tenantry_ops', 'select');
select tenantry.put_grant('tenantry.migrations', 'tenantry_migrate', 'select');

-- A name is changed by its bearer, or by admins. The policy raises: a refusal is an error, not "no such row".
select tenantry.put_policy(
    'public.users', 'tenantry_update', 'update', 'platform',
    'tenant_id = (select public.get_current_tenant_id())'
    ' and tenantry.require(id = (select tenantry.user_id()) or (select tenantry.role()) <> ''member'')',
    'tenant_id = (select public.get_current_tenant_id())',
    'A member renames itself, an admin anyone in the tenant.');

select tenantry.put_policy('public.users', 'tenantry_members_select', 'select', 'tenantry_members',
                           'tenant_id = (select public.get_current_tenant_id())', null, 'set_role() and remove_member() find members.');
select tenantry.put_policy('public.users', 'tenantry_members_update', 'update', 'tenantry_members',
                           'tenant_id = (select public.get_current_tenant_id())', 'tenant_id = (select public.get_current_tenant_id())',
                           'set_role() changes them.');
select tenantry.put_policy('public.users', 'tenantry_members_delete', 'delete', 'tenantry_members',
                           'tenant_id = (select public.get_current_tenant_id())', null, 'remove_member() removes them.');
select tenantry.put_policy('tenantry.tenants', 'tenantry_members_select', 'select', 'tenantry_members',
                           'id = (select public.get_current_tenant_id())', null, 'current_tenant() shows it; role changes lock it.');
select tenantry.put_policy('tenantry.tenants', 'tenantry_members_update', 'update', 'tenantry_members',
                           'id = (select public.get_current_tenant_id())', 'id = (select public.get_current_tenant_id())',
                           'rename_tenant() renames it.');
select tenantry.put_policy('public.auth_sessions', 'tenantry_members_select', 'select', 'tenantry_members',
                           'tenant_id = (select public.get_current_tenant_id())', null, 'remove_member() ends the sessions that it finds.');
select tenantry.put_policy('public.auth_sessions', 'tenantry_members_delete', 'delete', 'tenantry_members',
                           'tenant_id = (select public.get_current_tenant_id())', null, 'Who was removed has no session in the tenant.');
select tenantry.put_grant('public.users', 'tenantry_members', 'select');
select tenantry.put_grant('public.users', 'tenantry_members', 'update', '{name,role}');
select tenantry.put_grant('public.users', 'tenantry_members', 'delete');
select tenantry.put_grant('tenantry.tenants', 'tenantry_members', 'select');
select tenantry.put_grant('tenantry.tenants', 'tenantry_members', 'update', '{name}');
select tenantry.put_grant('public.auth_sessions', 'tenantry_members', 'select', '{identity_id,tenant_id}');
select tenantry.put_grant('public.auth_sessions', 'tenantry_members', 'delete');

reset role;
set local role tenantry_members;

create or replace function tenantry.rank(role text) returns integer
    language sql immutable parallel safe set search_path = ''
    return case role when 'owner' then 3 when 'admin' then 2 when 'member' then 1 else 0 end;
comment on function tenantry.rank(text) is '3, 2, 1 for owner, admin, member; 0 for anything else.';

-- One change of memberships in a tenant at a time. The caller's role is read anew after the wait: it may have been taken away.
create or replace function tenantry.role_after_lock() returns text
    language plpgsql volatile set search_path = ''
as $$
declare
    mine text;
begin
    perform from tenantry.tenants n where n.id = (select public.get_current_tenant_id()) for update;
    select u.role into mine from public.users u where u.id = (select tenantry.user_id());
    return mine;
end
$$;
comment on function tenantry.role_after_lock() is 'Locks the tenant against other changes of membership, and gives the caller''s role as it is now.';

create or replace function tenantry.keep_an_owner(leaving uuid) returns void
    language plpgsql volatile set search_path = ''
as $$
begin
    if not exists (select from public.users u where u.role = 'owner' and u.id <> leaving) then
        raise exception 'A tenant needs at least one owner.' using errcode = 'TN412';
    end if;
end
$$;
comment on function tenantry.keep_an_owner(uuid) is 'Raises TN412 if the tenant has no owner but this one.';

create or replace function tenantry.set_role(member uuid, new_role text, new_name text default null) returns setof public.users
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
    if tenantry.rank(mine) < 2 or tenantry.rank(theirs) > tenantry.rank(mine)
       or tenantry.rank(new_role) not between 1 and tenantry.rank(mine) then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    if theirs = 'owner' and new_role <> 'owner' then
        perform tenantry.keep_an_owner(member);
    end if;
    return query update public.users as u set role = new_role, name = coalesce(new_name, u.name) where u.id = member returning u.*;
end
$$;
comment on function tenantry.set_role(uuid, text, text) is 'Gives a member another role, and a name if one is given. Raises TN403, TN404, TN412.';

create or replace function tenantry.remove_member(member uuid) returns uuid
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
       and (tenantry.rank(mine) < 2 or tenantry.rank(theirs.role) > tenantry.rank(mine)) then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    if theirs.role = 'owner' then
        perform tenantry.keep_an_owner(member);
    end if;
    delete from public.auth_sessions s where s.identity_id = theirs.identity_id;
    delete from public.users u where u.id = member;
    return member;
end
$$;
comment on function tenantry.remove_member(uuid) is 'Ends a membership, and its sessions in this tenant: one''s own, or as admin another''s. Raises TN403, TN404, TN412.';

create or replace function tenantry.current_tenant() returns setof tenantry.tenants
    language sql stable security definer set search_path = ''
    begin atomic
        select n.* from tenantry.tenants n where n.id = (select public.get_current_tenant_id());
    end;
comment on function tenantry.current_tenant() is 'The tenant that this transaction has entered.';

create or replace function tenantry.rename_tenant(new_name text) returns setof tenantry.tenants
    language plpgsql volatile security definer set search_path = ''
as $$
begin
    if tenantry.rank(tenantry.role()) < 2 then
        raise exception 'You may not do this.' using errcode = 'TN403';
    end if;
    return query update tenantry.tenants as n set name = new_name
                  where n.id = (select public.get_current_tenant_id()) returning n.*;
end
$$;
comment on function tenantry.rename_tenant(text) is 'Renames the tenant; admins and owners. Raises TN403.';

revoke all on function tenantry.rank(text), tenantry.role_after_lock(), tenantry.keep_an_owner(uuid), tenantry.set_role(uuid, text, text),
    tenantry.remove_member(uuid), tenantry.current_tenant(), tenantry.rename_tenant(text) from public;
grant execute on function tenantry.set_role(uuid, text, text), tenantry.remove_member(uuid), tenantry.current_tenant(),
    tenantry.rename_tenant(text) to platform;

reset role;
set local role tenantry_owner;
insert into tenantry.allowed_definer (function, why)
values ('tenantry.set_role(uuid,text,text)', 'Changes a role after judging both; platform may not write roles.'),
       ('tenantry.remove_member(uuid)', 'Ends a membership and its sessions after judging both; platform may delete neither.'),
       ('tenantry.current_tenant()', 'Shows the one tenant that was entered; platform may not read the table of tenants.'),
       ('tenantry.rename_tenant(text)', 'Renames the one tenant that was entered, for admins.'),
       ('tenantry.can(text)', 'Says whether the sealed role has a permission; platform may not read who regranted what.'),
       ('tenantry.user_id()', 'With the keyed seal: checks the seal by a key that platform may not read.'),
       ('tenantry.role()', 'With the keyed seal: checks the seal by a key that platform may not read.')
    on conflict do nothing;
reset role;
