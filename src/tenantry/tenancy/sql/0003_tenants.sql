-- Tenants, permissions, and the small functions with which a statement refuses.

set local role tenantry_owner;

create table tenantry.tenants (
    id uuid constraint tenants_pkey primary key default gen_random_uuid(),
    slug text not null constraint tenants_slug_key unique
        constraint tenants_slug_check check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name text not null constraint tenants_name_check check (length(name) between 1 and 200),
    status text not null default 'active' constraint tenants_status_check check (status in ('active', 'suspended', 'deleting')),
    created_at timestamptz not null default now()
);
comment on table tenantry.tenants is 'One row a tenant. enter() opens active ones only.';
comment on constraint tenants_slug_check on tenantry.tenants is 'A slug has 1 to 63 lower-case letters, digits and inner hyphens';
comment on constraint tenants_name_check on tenantry.tenants is 'A name has 1 to 200 characters';

create table tenantry.permissions (
    name text constraint permissions_pkey primary key
        constraint permissions_name_check check (name ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$'),
    least text not null constraint permissions_least_check check (least in ('owner', 'admin', 'member')),
    says text not null
);
comment on table tenantry.permissions is 'What an application calls a right ("projects.close"), and the least role that has it.';

create table tenantry.permission_grants (
    tenant_id uuid not null constraint permission_grants_tenant_fk references tenantry.tenants,
    permission text not null constraint permission_grants_permission_fk references tenantry.permissions on delete cascade,
    least text not null constraint permission_grants_least_check check (least in ('owner', 'admin', 'member')),
    constraint permission_grants_pkey primary key (tenant_id, permission)
);
comment on table tenantry.permission_grants is 'Where a tenant wants another least role for a permission than the application does.';
create index permission_grants_permission_idx on tenantry.permission_grants (permission);

select tenantry.keep('tenantry.tenants');
select tenantry.keep('tenantry.permissions');
select tenantry.keep('tenantry.permission_grants');
select tenantry.put_policy('tenantry.tenants', 'tenantry_gate', 'select', 'tenantry_gate', 'true', null,
                           'enter() looks up the one tenant that a session is in.');
select tenantry.put_policy('tenantry.tenants', 'tenantry_signin', 'select', 'tenantry_signin', 'true', null,
                           'Before a tenant is chosen, a person''s tenants are found by membership.');
select tenantry.put_policy('tenantry.permissions', 'tenantry_gate', 'select', 'tenantry_gate', 'true', null,
                           'enter() and can() judge by them.');
select tenantry.put_policy('tenantry.permissions', 'tenantry_owner', 'all', 'tenantry_owner', 'true', 'true',
                           'Migrations write what the application declares.');
select tenantry.put_policy('tenantry.permission_grants', 'tenantry_gate', 'select', 'tenantry_gate', 'true', null,
                           'enter() and can() judge by them, for one tenant.');
select tenantry.put_grant('tenantry.tenants', 'tenantry_gate', 'select');
select tenantry.put_grant('tenantry.tenants', 'tenantry_signin', 'select');
select tenantry.put_grant('tenantry.permissions', 'tenantry_gate', 'select');
select tenantry.put_grant('tenantry.permission_grants', 'tenantry_gate', 'select');

-- These three stand inside the statements of handlers: no SET clause (it costs 2 us a call), operators qualified instead.
create or replace function tenantry.not_one(n bigint) returns boolean
    language plpgsql volatile parallel safe
as $$
begin
    if n operator(pg_catalog.=) 1 then
        return true;
    end if;
    if n operator(pg_catalog.>) 1 then
        raise exception 'more than one row where one was meant' using errcode = '21000';
    end if;
    raise exception 'Not found' using errcode = 'TN404';
end
$$;
comment on function tenantry.not_one(bigint) is 'True for 1; raises TN404 for 0 and 21000 for more: "exactly one row" inside the statement that acts.';

create or replace function tenantry.refuse_value(what text) returns boolean
    language plpgsql volatile parallel safe
as $$
begin
    raise exception '%', what using errcode = 'TN422';
end
$$;
comment on function tenantry.refuse_value(text) is 'Raises TN422: a value that cannot be put on the wire undoes the statement that made it.';

create or replace function tenantry.require(allowed boolean) returns boolean
    language plpgsql volatile parallel safe
as $$
begin
    if allowed then
        return true;
    end if;
    raise exception 'You may not do this.' using errcode = 'TN403';
end
$$;
comment on function tenantry.require(boolean) is 'True, or raises TN403: a right that is checked in the statement that acts.';

grant execute on function tenantry.not_one(bigint), tenantry.refuse_value(text), tenantry.require(boolean)
    to platform, tenantry_auth, tenantry_members, tenantry_signin, tenantry_system;

reset role;
