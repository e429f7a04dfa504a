-- Idempotency keys of mutations, and the question whether the sessions of open streams are still live.
--
-- A key is a member's own: it is written in the mutation's transaction, so it exists exactly when the mutation was committed. Only the
-- hash of the request is kept, and its answer, which is the member's own; after a day it may be used again.

set local role tenantry_owner;

create table tenantry.idempotency_keys (
    tenant_id uuid not null default public.get_current_tenant_id()
        constraint idempotency_keys_tenant_id_fkey references tenantry.tenants (id) on delete cascade,
    user_id uuid not null default tenantry.user_id(),
    key_hash bytea not null constraint idempotency_keys_key_hash_check check (octet_length(key_hash) = 32),
    request_hash bytea not null constraint idempotency_keys_request_hash_check check (octet_length(request_hash) = 32),
    answer bytea constraint idempotency_keys_answer_check check (octet_length(answer) <= 1048576),
    created_at timestamptz not null default now(),
    constraint idempotency_keys_pkey primary key (tenant_id, user_id, key_hash)
);
comment on table tenantry.idempotency_keys is 'Answers of mutations that were sent with an Idempotency-Key, for a day.';
comment on column tenantry.idempotency_keys.request_hash is 'SHA-256 of procedure and input: the same key with another request is a mistake of the caller.';
comment on column tenantry.idempotency_keys.answer is 'The result as it went out, after "data":. Null only inside the mutation''s own transaction.';
create index idempotency_keys_created_at_idx on tenantry.idempotency_keys (tenant_id, created_at);
comment on index tenantry.idempotency_keys_created_at_idx is 'The sweep of old keys.';

select tenantry.keep('tenantry.idempotency_keys');
select tenantry.put_policy('tenantry.idempotency_keys', 'tenantry_owner', 'all', 'tenantry_owner', 'true', 'true', 'Foreign keys and exports.');
select tenantry.put_policy(
    'tenantry.idempotency_keys', 'tenantry_select', 'select', 'platform',
    'tenant_id = (select public.get_current_tenant_id()) and user_id = (select tenantry.user_id())', null, 'A member''s own keys.');
select tenantry.put_policy(
    'tenantry.idempotency_keys', 'tenantry_insert', 'insert', 'platform', null,
    'tenant_id = (select public.get_current_tenant_id()) and user_id = (select tenantry.user_id())', 'A member''s own keys.');
select tenantry.put_policy(
    'tenantry.idempotency_keys', 'tenantry_update', 'update', 'platform',
    'tenant_id = (select public.get_current_tenant_id()) and user_id = (select tenantry.user_id())',
    'tenant_id = (select public.get_current_tenant_id()) and user_id = (select tenantry.user_id())', 'A member''s own keys.');
select tenantry.put_policy(
    'tenantry.idempotency_keys', 'tenantry_delete', 'delete', 'platform',
    'tenant_id = (select public.get_current_tenant_id()) and created_at < now() - interval ''1 day''', null, 'The sweep, by whoever comes by.');
select tenantry.put_grant('tenantry.idempotency_keys', 'platform', 'select');
select tenantry.put_grant('tenantry.idempotency_keys', 'platform', 'insert', array['key_hash', 'request_hash']);
select tenantry.put_grant('tenantry.idempotency_keys', 'platform', 'update', array['request_hash', 'answer', 'created_at']);
select tenantry.put_grant('tenantry.idempotency_keys', 'platform', 'delete');

reset role;

set local role tenantry_signin;

-- SECURITY DEFINER, because tenantry_auth reads no table: it learns of each credential that it holds whether it still opens its tenant.
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
$$;
comment on function tenantry.no_longer_in(text) is
    'Of [[credential in hex, role, tenant], …] the numbers whose session is over, or no longer a member of that role in that tenant.';
revoke all on function tenantry.no_longer_in(text) from public;
grant execute on function tenantry.no_longer_in(text) to tenantry_auth;

reset role;

set local role tenantry_owner;
insert into tenantry.allowed_definer (function, why)
values ('tenantry.no_longer_in(text)', 'Tells of credentials that the caller holds whether they are still live; for tenantry_auth.')
    on conflict do nothing;
reset role;
