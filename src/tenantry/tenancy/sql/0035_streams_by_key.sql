-- Streams and subscriptions that an API key opened end when the key does: the two questions about open streams know keys as well.

set local role tenantry_owner;
create unique index auth_api_keys_key_hash_idx on public.auth_api_keys (key_hash);
select tenantry.put_grant('public.auth_api_keys', 'tenantry_signin', 'select',
                          '{id,key_hash,last_used_at,user_id,created_by,tenant_id,role,expires}');
reset role;

set local role tenantry_signin;

-- As enter() judges a key: while its membership lives (a service key has none), in an active tenant, with the lesser of both roles.
create or replace function tenantry.live_keys(hash bytea) returns table (tenant uuid, role text)
    language sql stable set search_path = ''
    begin atomic
        select k.tenant_id,
               case when k.user_id is null or k.role = u.role or u.role = 'owner' then k.role
                    when k.role = 'owner' or u.role = 'member' then u.role
                    else k.role end
          from public.auth_api_keys k
          join tenantry.tenants n on n.id = k.tenant_id and n.status = 'active'
          left join public.users u on u.id = k.user_id and u.tenant_id = k.tenant_id
         where k.key_hash = hash
           and (k.expires is null or k.expires > pg_catalog.now())
           and (k.user_id is null or u.id is not null);
    end;
comment on function tenantry.live_keys(bytea) is 'Tenant and role of the key of that hash, while it lives; for no_longer_in() and live_sessions().';

-- 0012's, and keys.
create or replace function tenantry.no_longer_in(holders text) returns table (number integer)
    language sql stable security definer set search_path = ''
as $$
    select g.number::int4
      from pg_catalog.jsonb_array_elements(holders::jsonb) with ordinality as g (holder, number)
     where not exists (
           select from public.auth_sessions s
             join public.users u on u.tenant_id = s.tenant_id and u.identity_id = s.identity_id
             join tenantry.tenants n on n.id = s.tenant_id
            where s.token_hash = pg_catalog.sha256(pg_catalog.decode(g.holder ->> 0, 'hex'))
              and s.expires > pg_catalog.now()
              and n.status = 'active'
              and s.tenant_id = coalesce((g.holder ->> 2)::uuid, s.tenant_id)
              and case g.holder ->> 1
                  when 'admin' then u.role <> 'member'
                  when 'owner' then u.role = 'owner'
                  else true
              end)
       and not exists (
           select from tenantry.live_keys(pg_catalog.sha256(pg_catalog.decode(g.holder ->> 0, 'hex'))) k
            where k.tenant = coalesce((g.holder ->> 2)::uuid, k.tenant)
              and case g.holder ->> 1
                  when 'admin' then k.role <> 'member'
                  when 'owner' then k.role = 'owner'
                  else true
              end)
$$;
comment on function tenantry.no_longer_in(text) is
    'Of [[credential in hex, role, tenant], …] the numbers whose session or key is over, or no longer of that role in that tenant.';

-- 0011's, and keys.
create or replace function tenantry.live_sessions(hashes bytea[], tenants uuid[]) returns table (n integer, role text)
    language sql stable security definer set search_path = ''
    begin atomic
        select k.n::integer, u.role
          from unnest(hashes, tenants) with ordinality as k (hash, tenant, n)
          join public.auth_sessions s on s.token_hash = k.hash and s.expires > pg_catalog.now() and s.tenant_id = k.tenant
          join public.users u on u.tenant_id = s.tenant_id and u.identity_id = s.identity_id
          join tenantry.tenants t on t.id = s.tenant_id and t.status = 'active'
        union all
        select k.n::integer, l.role
          from unnest(hashes, tenants) with ordinality as k (hash, tenant, n)
         cross join lateral tenantry.live_keys(k.hash) l
         where l.tenant = k.tenant;
    end;
comment on function tenantry.live_sessions(bytea[], uuid[]) is
    'Of hashes of tokens and keys and their tenants, which are live and with what role. Who is missing is asked for by enter(). For tenantry_auth.';
revoke all on function tenantry.live_keys(bytea) from public;
reset role;
