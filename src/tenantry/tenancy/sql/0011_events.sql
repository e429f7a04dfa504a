-- Events: what a transaction publishes, kept so that subscribers read it in one stable order without gap or repeat.
--
-- `place` is the greater of the publisher's transaction id and the last one that had ended at the moment of publishing: what is below
-- a reader's own horizon (pg_snapshot_xmin) is decided for ever, and what was published after another's commit comes after it.
-- Slots are a ring of partitions: the keeper moves on to the next one and empties it, without DDL and without locking the parent.

set local role tenantry_owner;

create table tenantry.event_ring (
    one boolean constraint event_ring_pkey primary key default true constraint event_ring_one_check check (one),
    salt bytea not null constraint event_ring_salt_check check (length(salt) = 32),
    slot smallint not null default 0 constraint event_ring_slot_check check (slot between 0 and 7),
    since timestamptz not null default now(),
    gone bigint not null default 0
);
comment on table tenantry.event_ring is
    'One row: the slot that events are written to, since when; the highest place that was dropped; the salt of signal keys.';

-- No foreign key to tenants: its check would lock the tenant's row at every publish, and retention takes the rows away anyway.
create table tenantry.events (
    tenant_id uuid not null,
    topic text not null constraint events_topic_check check (topic ~ '^[A-Za-z0-9_.:/-]{1,200}$'),
    place bigint not null,
    at timestamptz not null,
    n integer not null,
    id uuid not null default gen_random_uuid(),
    slot smallint not null,
    value text not null constraint events_value_check check (octet_length(value) <= 1048576)
) partition by list (slot);
comment on table tenantry.events is
    'What was published, until retention ends. Ids are random, so that they tell nobody how much happens elsewhere.';
comment on constraint events_topic_check on tenantry.events is 'A topic has 1 to 200 letters, digits and . _ : / -';
comment on constraint events_value_check on tenantry.events is 'An event''s value has at most 1 MiB of JSON';
create index events_topic_idx on tenantry.events (tenant_id, topic, place, at, n, id);
create index events_id_idx on tenantry.events (tenant_id, id);
create index events_place_idx on tenantry.events (place);

do $$
begin
    for slot in 0..7 loop
        execute format('create table tenantry.events_%s partition of tenantry.events for values in (%s)', slot, slot);
        execute format('comment on table tenantry.events_%s is %L', slot, 'A slot of the ring; reached through its parent only.');
        perform tenantry.keep(format('tenantry.events_%s', slot)::regclass);
        -- Rows come and go by TRUNCATE: nothing is ever dead, but the statistics must follow.
        execute format('alter table tenantry.events_%s set (autovacuum_analyze_scale_factor = 0.5)', slot);
    end loop;
end
$$;

select tenantry.keep('tenantry.event_ring');
select tenantry.keep('tenantry.events');
select tenantry.put_policy('tenantry.event_ring', 'tenantry_owner', 'all', 'tenantry_owner', 'true', 'true',
                           'The keeper turns it; put_events() reads which slot is written.');
select tenantry.put_policy('tenantry.event_ring', 'tenantry_select', 'select', 'platform', 'true', null,
                           'Of the ring a reader sees how far events are gone: the answer to "is there a gap".');
select tenantry.put_policy('tenantry.events', 'tenantry_select', 'select', 'platform',
                           'tenant_id = (select public.get_current_tenant_id())', null, 'Events of the current tenant are seen.');
select tenantry.put_policy('tenantry.events', 'tenantry_owner_insert', 'insert', 'tenantry_owner', null, 'true',
                           'put_events() writes them; it is called with the sealed tenant, or by our own functions.');
select tenantry.put_policy('tenantry.events', 'tenantry_owner_select', 'select', 'tenantry_owner', 'true', null,
                           'moved_events() and the keeper look at places, across tenants, and give out keys only.');
select tenantry.put_grant('tenantry.event_ring', 'platform', 'select', '{gone}');
select tenantry.put_grant('tenantry.events', 'platform', 'select');
do $$
begin
    -- Maintenance reads and empties the slots themselves.
    for slot in 0..7 loop
        perform tenantry.put_policy(format('tenantry.events_%s', slot)::regclass, 'tenantry_owner_select', 'select', 'tenantry_owner',
                                    'true', null, 'The keeper looks how far a slot goes before it empties it.');
    end loop;
end
$$;

insert into tenantry.event_ring (salt)
select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- ------------------------------------------------------------------ writing

-- SECURITY DEFINER: nobody else may write the table. Whoever may call it names the tenant, so platform may not.
create or replace function tenantry.put_events(tenant uuid, topics text[], contents text[]) returns integer
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    -- Of this moment, not of the caller's statement: a fresh snapshot, taken after every lock that was waited for. Its xmax is one
    -- more than the last transaction that ended; that one and our own bound what may still be undecided above us.
    place constant bigint := greatest(pg_catalog.pg_current_xact_id()::text::bigint,
                                      pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - 1);
    moment constant timestamptz := pg_catalog.clock_timestamp();
    made integer;
begin
    insert into tenantry.events (tenant_id, topic, place, at, n, slot, value)
    select tenant, e.topic, place, moment, e.n, r.slot, e.value
      from unnest(topics, contents) with ordinality as e (topic, value, n)
      cross join tenantry.event_ring r;
    get diagnostics made = row_count;
    return made;
end
$$;
comment on function tenantry.put_events(uuid, text[], text[]) is 'Writes events of a tenant: for publish() and for functions of ours, never for platform.';

create or replace function tenantry.event_salt() returns bytea
    language sql stable security definer set search_path = ''
    begin atomic
        select r.salt from tenantry.event_ring r;
    end;
comment on function tenantry.event_salt() is 'What signal keys are salted with, so that a key tells nothing to who does not know it; for tenantry_auth.';

-- Across tenants, but keys only: which (tenant, topic) has something at or above a place. The net below lost signals.
create or replace function tenantry.moved_events(since bigint, most integer) returns table (horizon bigint, key bytea)
    language sql stable security definer set search_path = ''
    begin atomic
        select h.horizon, k.key
          from (select pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::bigint as horizon) h
          left join lateral (
                select distinct pg_catalog.substr(
                           pg_catalog.sha256(r.salt || pg_catalog.uuid_send(e.tenant_id) || pg_catalog.convert_to(e.topic, 'UTF8')), 1, 8) as key
                  from (select e.tenant_id, e.topic from tenantry.events e where e.place >= since order by e.place limit most) e
                 cross join tenantry.event_ring r
               ) k on true;
    end;
comment on function tenantry.moved_events(bigint, integer) is 'The horizon, and salted keys of the topics that have events at or above a place; for tenantry_auth.';

-- ------------------------------------------------------------------ keeping

-- One caller at a time, bounded work: at most one slot is emptied, and no lock is waited for longer than 200 ms.
create or replace function tenantry.keep_events(retention interval, most_bytes bigint) returns text
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    ring tenantry.event_ring;
    next_slot smallint;
    size bigint;
    high bigint;
begin
    if retention < interval '1 minute' or most_bytes < 1048576 then
        raise exception 'events are kept for a minute and 1 MiB at least' using errcode = '22023';
    end if;
    if not pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('tenantry.keep_events', 0)) then
        return 'another worker keeps the events';
    end if;
    perform pg_catalog.set_config('lock_timeout', '200ms', true);
    select * into ring from tenantry.event_ring;
    select pg_catalog.sum(pg_catalog.pg_total_relation_size(i.inhrelid)) into size
      from pg_catalog.pg_inherits i
     where i.inhparent = 'tenantry.events'::regclass;
    -- Six slots are full, one is written, one is being emptied: a slot is emptied when its last event is older than the retention.
    if pg_catalog.clock_timestamp() < ring.since + retention / 6 and size < most_bytes then
        return 'nothing to do';
    end if;
    next_slot := (ring.slot + 1) % 8;
    execute pg_catalog.format('select e.place from tenantry.events_%s e order by e.place desc limit 1', next_slot) into high;
    if high is not null then
        execute pg_catalog.format('truncate tenantry.events_%s', next_slot);
    end if;
    update tenantry.event_ring r
       set slot = next_slot, since = pg_catalog.clock_timestamp(), gone = greatest(r.gone, coalesce(high, 0));
    return pg_catalog.format('slot %s is written now', next_slot);
exception
    when lock_not_available then
        return 'a transaction still holds the oldest slot';
end
$$;
comment on function tenantry.keep_events(interval, bigint) is
    'Moves on to the next slot and empties it, when retention or size asks for it; one worker at a time. For tenantry_auth and tenantry_ops.';

revoke all on function tenantry.put_events(uuid, text[], text[]), tenantry.event_salt(), tenantry.moved_events(bigint, integer),
    tenantry.keep_events(interval, bigint) from public;
grant execute on function tenantry.put_events(uuid, text[], text[]) to tenantry_members, tenantry_signin, tenantry_system;
grant execute on function tenantry.event_salt(), tenantry.moved_events(bigint, integer) to tenantry_auth;
grant execute on function tenantry.keep_events(interval, bigint) to tenantry_auth, tenantry_ops;
grant execute on function public.get_current_tenant_id() to tenantry_signin;
reset role;

-- SECURITY DEFINER: platform may not write the table; the tenant is the sealed one and no other.
set local role tenantry_members;
create or replace function tenantry.publish(topics text[], contents text[]) returns integer
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    tenant constant uuid := public.get_current_tenant_id();
begin
    if tenant is null then
        raise exception 'No tenant selected' using errcode = 'TN403';
    end if;
    return tenantry.put_events(tenant, topics, contents);
end
$$;
comment on function tenantry.publish(text[], text[]) is 'Publishes JSON texts under topics of the current tenant; seen when the transaction commits.';

revoke all on function tenantry.publish(text[], text[]) from public;
grant execute on function tenantry.publish(text[], text[]) to platform, tenantry_members;
reset role;

-- Who of these is still signed in? For the sessions that subscriptions live by: one statement for a thousand.
set local role tenantry_signin;
create or replace function tenantry.live_sessions(hashes bytea[], tenants uuid[]) returns table (n integer, role text)
    language sql stable security definer set search_path = ''
    begin atomic
        select k.n::integer, u.role
          from unnest(hashes, tenants) with ordinality as k (hash, tenant, n)
          join public.auth_sessions s on s.token_hash = k.hash and s.expires > pg_catalog.now() and s.tenant_id = k.tenant
          join public.users u on u.tenant_id = s.tenant_id and u.identity_id = s.identity_id
          join tenantry.tenants t on t.id = s.tenant_id and t.status = 'active';
    end;
comment on function tenantry.live_sessions(bytea[], uuid[]) is
    'Of token hashes and their tenants, which are live and with what role. Who is missing is asked for by enter(). For tenantry_auth.';
revoke all on function tenantry.live_sessions(bytea[], uuid[]) from public;
grant execute on function tenantry.live_sessions(bytea[], uuid[]) to tenantry_auth;
reset role;

-- ------------------------------------------------------------------ users.changed

set local role tenantry_owner;
-- A trigger, so that whoever changes memberships (update, role, invitation, removal, an operator) publishes it, and the one-trip
-- form stays. It runs as who changes them: inside a tenant it goes by the sealed one, else by the row's.
create or replace function tenantry.publish_users_changed() returns trigger
    language plpgsql volatile set search_path = ''
as $$
declare
    row record;
    change constant text := case tg_op when 'INSERT' then 'added' when 'DELETE' then 'removed' else 'updated' end;
begin
    if tg_op = 'DELETE' then
        row := old;
    else
        row := new;
    end if;
    if row.tenant_id = public.get_current_tenant_id() then
        perform tenantry.publish(array['users.changed'], array[pg_catalog.json_build_object('id', row.id, 'change', change)::text]);
    else
        perform tenantry.put_events(row.tenant_id, array['users.changed'],
                                    array[pg_catalog.json_build_object('id', row.id, 'change', change)::text]);
    end if;
    return null;
end
$$;
comment on function tenantry.publish_users_changed() is 'Publishes users.changed in the tenant of the membership that was added, updated or removed.';
revoke all on function tenantry.publish_users_changed() from public;

create trigger users_changed
    after insert or delete on public.users
    for each row execute function tenantry.publish_users_changed();
comment on trigger users_changed on public.users is 'Publishes users.changed: added, removed.';
create trigger users_updated
    after update on public.users
    for each row when (old.name is distinct from new.name or old.role is distinct from new.role or old.email is distinct from new.email)
    execute function tenantry.publish_users_changed();
comment on trigger users_updated on public.users is 'Publishes users.changed: updated, where there is a difference.';

insert into tenantry.allowed_definer (function, why) values
    ('tenantry.publish(text[],text[])', 'Writes events of the one tenant that was entered; platform may not write the table.'),
    ('tenantry.put_events(uuid,text[],text[])', 'Writes events for publish() and for functions of ours; not for platform.'),
    ('tenantry.event_salt()', 'The salt of signal keys; for tenantry_auth.'),
    ('tenantry.moved_events(bigint,integer)', 'Salted keys of topics that moved, no names and no values; for tenantry_auth.'),
    ('tenantry.keep_events(interval,bigint)', 'Turns the ring of events; for tenantry_auth and tenantry_ops.'),
    ('tenantry.live_sessions(bytea[],uuid[])', 'Which sessions of subscriptions are live; for tenantry_auth.')
    on conflict do nothing;
reset role;
