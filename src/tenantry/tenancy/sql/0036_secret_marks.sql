-- Since when which AUTH_SECRET signs: so that its rotation stands in the trail, and the quarter that it may last is counted.
--
-- A mark is 16 hex digits of a keyed hash of the secret: it tells two secrets apart, and tells nothing of either.

set local role tenantry_owner;
create table tenantry.auth_secrets (
    mark text constraint auth_secrets_pkey primary key constraint auth_secrets_mark_check check (mark ~ '^[0-9a-f]{16}$'),
    since timestamptz not null default now()
);
comment on table tenantry.auth_secrets is 'Marks of the secrets that signed here, and since when; no secret.';
select tenantry.keep('tenantry.auth_secrets');
select tenantry.put_policy('tenantry.auth_secrets', 'tenantry_signin', 'all', 'tenantry_signin', 'true', 'true',
                           'secret_in_use() notes them, secret_age() tells.');
select tenantry.put_grant('tenantry.auth_secrets', 'tenantry_signin', 'select');
select tenantry.put_grant('tenantry.auth_secrets', 'tenantry_signin', 'insert');
select tenantry.put_grant('tenantry.auth_secrets', 'tenantry_signin', 'delete');
reset role;

set local role tenantry_signin;

create or replace function tenantry.secret_in_use(mark text) returns interval
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    began timestamptz;
begin
    select s.since into began from tenantry.auth_secrets s where s.mark = secret_in_use.mark;
    if began is null then
        -- Of workers that start together one is first, and its line is the only one.
        insert into tenantry.auth_secrets (mark) values (secret_in_use.mark) on conflict do nothing returning since into began;
        if found and exists (select from tenantry.auth_secrets s where s.mark <> secret_in_use.mark) then
            perform tenantry.audit(null, 'secret_rotated', null, null, null, null);
        end if;
        delete from tenantry.auth_secrets s
         where s.mark in (select o.mark from tenantry.auth_secrets o order by o.since desc, o.mark offset 50);
    end if;
    return pg_catalog.now() - coalesce(began, pg_catalog.now());
end
$$;
comment on function tenantry.secret_in_use(text) is 'Notes that the secret of a mark signs, its first time also in the trail; gives for how long it has.';

create or replace function tenantry.secret_age(mark text) returns interval
    language sql stable security definer set search_path = ''
    begin atomic
        select pg_catalog.now() - s.since from tenantry.auth_secrets s where s.mark = secret_age.mark;
    end;
comment on function tenantry.secret_age(text) is 'For how long the secret of a mark has signed here; null for one that never did. For the doctor.';

revoke all on function tenantry.secret_in_use(text), tenantry.secret_age(text) from public;
grant execute on function tenantry.secret_in_use(text) to tenantry_auth;
grant execute on function tenantry.secret_age(text) to tenantry_ops;
reset role;

set local role tenantry_owner;
insert into tenantry.allowed_definer (function, why)
values ('tenantry.secret_in_use(text)', 'Notes since when a secret signs, by its mark; for tenantry_auth.'),
       ('tenantry.secret_age(text)', 'For how long a secret has signed, by its mark; for tenantry_ops.')
    on conflict do nothing;
reset role;
