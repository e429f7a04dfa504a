-- The keyed seal's key is changed while requests run: for a while two keys hold, the new one to seal with, both to check by.
--
-- A seal lives as long as its transaction, and each statement of it reads the key anew: a transaction that began before the
-- change must still find its key. `tenantry secret rotate-seal` changes, waits for the transactions of then, and retires.
-- With the vault there is no key in use. This file may be run again (after 0004, whose readers know one key).

set local role tenantry_owner;

alter table tenantry.seal_key
    add column if not exists previous bytea constraint seal_key_previous_check check (length(previous) = 32),
    add column if not exists rotated_at timestamptz;
comment on column tenantry.seal_key.previous is 'The key before, while transactions that were sealed with it may be open; null otherwise.';

create or replace function tenantry.rotate_seal() returns timestamptz
    language plpgsql volatile set search_path = ''
as $$
declare
    at timestamptz;
begin
    update tenantry.seal_key k
       set previous = k.key,
           key = pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
                                   || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())),
           rotated_at = pg_catalog.clock_timestamp()
     where k.previous is null
    returning k.rotated_at into at;
    if at is null then
        raise exception 'the last change of the seal''s key is not over' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Finish it: tenantry secret rotate-seal';
    end if;
    return at;
end
$$;
comment on function tenantry.rotate_seal() is 'A new key to seal with; the one before holds until retire_seal().';

create or replace function tenantry.retire_seal() returns boolean
    language sql volatile set search_path = ''
begin atomic
    with retired as (update tenantry.seal_key k set previous = null where k.previous is not null returning 1)
    select exists (select from retired);
end;
comment on function tenantry.retire_seal() is 'The key before holds no more. Only when no transaction is open that was sealed with it.';
revoke all on function tenantry.rotate_seal(), tenantry.retire_seal() from public;

reset role;

-- The readers of 0004, with the second key. The key stays a column in every expression; the second hash is made only where the first fails.
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
     where case
               when pg_catalog.encode(
                        pg_catalog.sha256(k.key operator(pg_catalog.||) pg_catalog.sha256(
                            k.key
                            operator(pg_catalog.||) pg_catalog.convert_to(s.context, 'UTF8')
                            operator(pg_catalog.||) pg_catalog.timestamptz_send(pg_catalog.now()))),
                        'hex') operator(pg_catalog.=) s.hash then true
               when k.previous is not null then pg_catalog.encode(
                        pg_catalog.sha256(k.previous operator(pg_catalog.||) pg_catalog.sha256(
                            k.previous
                            operator(pg_catalog.||) pg_catalog.convert_to(s.context, 'UTF8')
                            operator(pg_catalog.||) pg_catalog.timestamptz_send(pg_catalog.now()))),
                        'hex') operator(pg_catalog.=) s.hash
               else false
           end;
    return answer;
end
$body$
$f$, reader.name, reader.type, reader.field);
    end loop;
    reset role;
end
$$;
