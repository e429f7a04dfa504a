-- An operator looks at a tenant as the tenant itself sees it (the plan of a statement, an export): by a short session of its senior member,
-- so that enter(), the seal and row security do what they do for a request. Who did it, and why, stands in the tenant's trail.

set local role tenantry_system;
create or replace function tenantry.visit_tenant(
    token bytea, tenant text, action text, detail text, lives interval, out tenant_id uuid, out slug text
)
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    person uuid;
begin
    if action not in ('operator_plan', 'operator_export') then
        raise exception 'not an act of a visit' using errcode = 'TN422';
    end if;
    select n.id, n.slug into tenant_id, slug
      from tenantry.tenants n
     where n.slug = visit_tenant.tenant or n.id::text = visit_tenant.tenant;
    if tenant_id is null then
        raise exception 'there is no tenant of this name' using errcode = 'TN404';
    end if;
    select u.identity_id into person
      from public.users u
     where u.tenant_id = visit_tenant.tenant_id
     order by case u.role when 'owner' then 1 when 'admin' then 2 else 3 end, u.id
     limit 1;
    if person is null then
        raise exception 'nobody is a member of this tenant, so that nobody can enter it' using errcode = 'TN404';
    end if;
    insert into public.auth_sessions (token_hash, identity_id, tenant_id, expires)
    values (pg_catalog.sha256(token), person, visit_tenant.tenant_id, pg_catalog.now() + least(lives, interval '1 hour'));
    perform tenantry.audit(visit_tenant.tenant_id, action, null, null, detail::jsonb, null);
end
$$;
comment on function tenantry.visit_tenant(bytea, text, text, text, interval) is
    'Signs an operator in as the senior member of a tenant (slug or id), for an hour at most, and writes it into the trail. Raises TN404, TN422.';
revoke all on function tenantry.visit_tenant(bytea, text, text, text, interval) from public;
grant execute on function tenantry.visit_tenant(bytea, text, text, text, interval) to tenantry_migrate;
reset role;

set local role tenantry_owner;
insert into tenantry.allowed_definer (function, why)
values ('tenantry.visit_tenant(bytea,text,text,text,interval)', 'Signs an operator in for a plan or an export; for tenantry_migrate.')
    on conflict do nothing;
reset role;
