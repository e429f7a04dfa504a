-- Events in a database that was restored or moved: places are transaction ids of the server that wrote them, and mean nothing elsewhere.
--
-- Where a place lies beyond the ids of this server, readers would wait for a horizon that does not come. They begin anew: clients that
-- come back with an id from before hear EVENTS_GONE, and load what they show. A schema restored without its rows gets its
-- ring. `tenantry db push` asks each time, and so does `tenantry backup restore`.

set local role tenantry_owner;

create or replace function tenantry.settle_events() returns text
    language plpgsql volatile set search_path = ''
as $$
declare
    now_on constant bigint := pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint;
    horizon constant bigint := pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::bigint;
    high bigint;
    highest bigint;
    done text;
begin
    insert into tenantry.event_ring (salt)
    select pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
                             || pg_catalog.uuid_send(pg_catalog.gen_random_uuid()))
     where not exists (select from tenantry.event_ring);
    if found then
        done := 'the ring of events is there again';
    end if;
    if pg_catalog.pg_sequence_last_value('tenantry.ring_slot'::regclass) is null then
        perform pg_catalog.setval('tenantry.ring_slot', r.slot) from tenantry.event_ring r;
        done := 'the ring of events is there again';
    end if;
    select greatest(r.gone, (select pg_catalog.max(greatest(w.since, w.closing)) from tenantry.watched_topics w)) into highest
      from tenantry.event_ring r;
    for slot in 0..7 loop
        execute pg_catalog.format('select pg_catalog.max(e.place) from tenantry.events_%s e', slot) into high;
        highest := greatest(highest, high);
    end loop;
    if highest >= now_on then
        for slot in 0..7 loop
            execute pg_catalog.format('truncate tenantry.events_%s', slot);
        end loop;
        delete from tenantry.watched_topics;
        update tenantry.event_ring set gone = horizon - 1;
        done := 'events of another server are gone';
    end if;
    return done;
end
$$;
comment on function tenantry.settle_events() is 'After a restore: a ring that can be written, and no events with places of another server; what was done.';
revoke all on function tenantry.settle_events() from public;

reset role;
