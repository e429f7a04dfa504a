-- The peers' tenants, people and sessions (schema.sql, seed.py: everything follows from a number) in Tenantry's own tables.
-- psql -v tenants=1000 -v users=20 -f target.sql, as superuser
create function pg_temp.uid(text) returns uuid language sql immutable
    return overlay(overlay(md5($1) placing '4' from 13 for 1) placing '8' from 17 for 1)::uuid;
insert into tenantry.tenants (id, slug, name)
select pg_temp.uid('tenant' || t), 'tenant-' || t, 'Tenant ' || t from generate_series(1, :tenants) t;
insert into public.auth_identities (id, email)
select pg_temp.uid('identity' || i), 'u' || i || '@example.com' from generate_series(1, :tenants * :users) i;
insert into public.auth_sessions (token_hash, identity_id, tenant_id, expires)
select sha256(('tok_' || md5('token' || i))::bytea), pg_temp.uid('identity' || i), pg_temp.uid('tenant' || (i - 1) / :users + 1), '2099-01-01'
  from generate_series(1, :tenants * :users) i;
insert into public.users (id, tenant_id, identity_id, email, name, role, created_at)
select pg_temp.uid('user' || i), pg_temp.uid('tenant' || (i - 1) / :users + 1), pg_temp.uid('identity' || i), 'u' || i || '@example.com',
       'User ' || i, case (i - 1) % :users when 0 then 'owner' else 'admin' end,
       timestamptz '2025-01-01 00:00:00.123+00' + i * interval '1 second'
  from generate_series(1, :tenants * :users) i order by md5('user' || i);
vacuum (analyze);
checkpoint;
