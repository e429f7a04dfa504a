-- users.changed is written where somebody may want it: in tenants where it was subscribed to, for as long as a subscriber may come back.
--
-- An event costs its transaction as much as the change itself (26 to 33 us of a back end's 95), and most tenants' changes have no
-- reader. Who subscribes registers the tenant first, and begins when no transaction is left that may not have seen that (`since`).
-- A registration is forgotten when every event that its last subscriber may have seen is gone from the ring: until then whoever comes
-- back finds all of them, and after it is told EVENTS_GONE. Topics of applications are always written: `ctx.publish` was asked to.

set local role tenantry_owner;

create table tenantry.watched_topics (
    tenant_id uuid not null,
    topic text not null,
    since bigint,
    seen timestamptz not null default pg_catalog.now(),
    closing bigint,
    constraint watched_topics_pkey primary key (tenant_id, topic)
);
comment on table tenantry.watched_topics is 'Which tenants'' users.changed is written, since somebody subscribed to it; nobody''s but watch_topic()''s.';
comment on column tenantry.watched_topics.since is
    'Transactions from this id on see the registration; null until a transaction after the registering one has looked.';
comment on column tenantry.watched_topics.seen is 'When a subscriber was last there: said every hour.';
comment on column tenantry.watched_topics.closing is
    'Set when no subscriber was there for hours: events from this id on were not seen by any. Gone from the ring up to here, forgotten.';
select tenantry.keep('tenantry.watched_topics');
select tenantry.put_policy('tenantry.watched_topics', 'tenantry_owner', 'all', 'tenantry_owner', 'true', 'true',
                           'watch_topic(), forget_watches() and the trigger on memberships; nobody else.');

-- Whoever subscribed before this file has an id, and comes back with it.
insert into tenantry.watched_topics (tenant_id, topic, since) select n.id, 'users.changed', 0 from tenantry.tenants n;

-- SECURITY DEFINER: it is nobody's table. Called again until it answers true: the first call registers, a later one, which sees that,
-- notes from which transaction on all see it, and the answer is true when all before that one have ended.
create function tenantry.watch_topic(tenant uuid, topic text) returns boolean
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    is_known boolean;
    is_fresh boolean;
    first bigint;
    now_on bigint;
begin
    select true, w.since, w.closing is null and w.seen > pg_catalog.now() - interval '10 minutes'
      into is_known, first, is_fresh
      from tenantry.watched_topics w
     where w.tenant_id = tenant and w.topic = watch_topic.topic;
    if is_known is null then
        insert into tenantry.watched_topics (tenant_id, topic) values (tenant, watch_topic.topic) on conflict do nothing;
        return false;
    end if;
    -- A snapshot of its own, later than the one that saw the row: who draws an id from its xmax on sees the row too.
    now_on := pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint;
    if first is null or not is_fresh then
        update tenantry.watched_topics w
           set seen = pg_catalog.now(), closing = null, since = coalesce(w.since, now_on)
         where w.tenant_id = tenant and w.topic = watch_topic.topic
        returning w.since into first;
    end if;
    -- Forgotten meanwhile: null, and so not true.
    return coalesce(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::bigint >= first, false);
end
$$;
comment on function tenantry.watch_topic(uuid, text) is
    'Registers that a tenant''s topic has a subscriber; true when every change from now on is published. Again within the hour while one is there.';

-- SECURITY DEFINER: as above. What nobody was there for in three hours is closed; it is forgotten when the ring has dropped all before.
create function tenantry.forget_watches() returns integer
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    forgotten integer;
begin
    update tenantry.watched_topics w
       set closing = pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint
     where w.closing is null and w.seen < pg_catalog.now() - interval '3 hours';
    delete from tenantry.watched_topics w using tenantry.event_ring r where w.closing <= r.gone;
    get diagnostics forgotten = row_count;
    return forgotten;
end
$$;
comment on function tenantry.forget_watches() is 'Forgets topics whose last subscriber cannot come back to anything; how many. For the keeper.';

revoke all on function tenantry.watch_topic(uuid, text), tenantry.forget_watches() from public;
grant execute on function tenantry.watch_topic(uuid, text), tenantry.forget_watches() to tenantry_auth;

-- ------------------------------------------------------------------ users.changed

-- SECURITY DEFINER: platform may neither see who watches nor write events; the tenant is the sealed one and no other. A transaction that
-- is not READ COMMITTED does not see who came after it began: it writes.
create function tenantry.publish_watched(topic text, content text) returns integer
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    tenant constant uuid := public.get_current_tenant_id();
begin
    if exists (select from tenantry.watched_topics w where w.tenant_id = tenant and w.topic = publish_watched.topic)
       and pg_catalog.octet_length(content) <= 1048576 then
        -- As in put_events(): this statement has a fresh snapshot of its own.
        insert into tenantry.events (tenant_id, topic, place, at, n, id, slot, value)
        values (tenant, publish_watched.topic,
               greatest(pg_catalog.pg_current_xact_id()::text::bigint,
                        pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - 1),
               pg_catalog.clock_timestamp(), 1,
               pg_catalog.lpad(pg_catalog.to_hex(pg_catalog.pg_current_xact_id()::text::bigint), 32, '0')::uuid,
               pg_catalog.pg_sequence_last_value('tenantry.ring_slot'::regclass), content);
        return 1;
    elsif pg_catalog.octet_length(content) > 1048576 or pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
        return tenantry.publish(publish_watched.topic, content);
    end if;
    return 0;
end
$$;
comment on function tenantry.publish_watched(text, text) is 'As publish(text, text), where the tenant''s topic has a subscriber who is there or may come back.';

-- SECURITY DEFINER: it is nobody's table. Whoever may call it names the tenant, so platform may not.
create function tenantry.put_watched(tenant uuid, topic text, content text) returns integer
    language plpgsql volatile security definer set search_path = ''
as $$
begin
    if exists (select from tenantry.watched_topics w where w.tenant_id = tenant and w.topic = put_watched.topic)
       or pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
        return tenantry.put_events(tenant, array[topic], array[content]);
    end if;
    return 0;
end
$$;
comment on function tenantry.put_watched(uuid, text, text) is 'As put_events(), for one event, where it is watched.';

revoke all on function tenantry.publish_watched(text, text), tenantry.put_watched(uuid, text, text) from public;
grant execute on function tenantry.publish_watched(text, text) to platform, tenantry_members, tenantry_signin, tenantry_system;
grant execute on function tenantry.put_watched(uuid, text, text) to tenantry_members, tenantry_signin, tenantry_system;

-- As in 0027, and only where it is watched. It runs as who changes memberships.
create or replace function tenantry.publish_users_changed() returns trigger
    language plpgsql volatile set search_path = ''
as $$
declare
    done integer;
    changed record;
    content text;
begin
    if tg_op = 'UPDATE' then
        if (old.name, old.role, old.email) is not distinct from (new.name, new.role, new.email) then
            return null;
        end if;
    end if;
    if tg_op <> 'DELETE' and (pg_catalog.length(new.name) between 1 and 200) is not true then
        raise exception 'A name has 1 to 200 characters'
            using errcode = '23514', schema = 'public', table = 'users', column = 'name', constraint = 'users_name_check';
    end if;
    if tg_op = 'UPDATE' then
        if new.tenant_id = public.get_current_tenant_id() then
            -- Assigned, not performed: an expression needs no statement of its own.
            done := tenantry.publish_watched('users.changed', '{"id": "' || new.id || '", "change": "updated"}');
            return null;
        end if;
    end if;
    if tg_op = 'DELETE' then
        changed := old;
    else
        changed := new;
    end if;
    content := pg_catalog.format('{"id": "%s", "change": "%s"}', changed.id,
                                 case tg_op when 'INSERT' then 'added' when 'DELETE' then 'removed' else 'updated' end);
    if changed.tenant_id = public.get_current_tenant_id() then
        done := tenantry.publish_watched('users.changed', content);
    else
        done := tenantry.put_watched(changed.tenant_id, 'users.changed', content);
    end if;
    return null;
end
$$;
comment on function tenantry.publish_users_changed() is
    'Publishes users.changed in the tenant of the membership that was added, updated or removed, where it is watched; a name has 1 to 200 characters.';
revoke all on function tenantry.publish_users_changed() from public;

insert into tenantry.allowed_definer (function, why) values
    ('tenantry.watch_topic(uuid,text)', 'Registers that a tenant''s topic has a subscriber; for tenantry_auth.'),
    ('tenantry.forget_watches()', 'Forgets registrations that nobody needs; for tenantry_auth.'),
    ('tenantry.publish_watched(text,text)', 'Writes an event of the one tenant that was entered, where it is watched.'),
    ('tenantry.put_watched(uuid,text,text)', 'Writes an event where it is watched, for functions of ours; not for platform.')
    on conflict do nothing;
reset role;
