-- Events, lighter for who publishes: one function instead of two between a change and its event, none of it by arrays, and no check
-- that is planned anew for every row. What is promised stays: 0011_events.sql.
--
-- An id is no longer drawn and no longer looked for: clients have an event's place, sealed by the worker (events/marks.py). What is in
-- `id` is the transaction, as the last part of the order among events of one place.

set local role tenantry_owner;

-- A table's checks are read from the catalogue, planned and run by each statement anew: 16 us for these two, of which the pattern's
-- bounded repetition was most. Whoever publishes comes through these functions, which ask once for all that they are given.
alter table tenantry.events drop constraint events_topic_check, drop constraint events_value_check;
alter table tenantry.events alter id drop default;
drop index tenantry.events_id_idx;
comment on table tenantry.events is 'What was published, until retention ends, in the order of (place, at, n, id).';
comment on column tenantry.events.id is 'The transaction that published it: the last part of the order; before 0026 a random number.';

create or replace function tenantry.put_events(tenant uuid, topics text[], contents text[]) returns integer
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    -- Of this moment, not of the caller's statement: a fresh snapshot, taken after every lock that was waited for. Its xmax is one
    -- more than the last transaction that ended; that one and our own bound what may still be undecided above us.
    own constant bigint := pg_catalog.pg_current_xact_id()::text::bigint;
    place constant bigint := greatest(own, pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - 1);
    moment constant timestamptz := pg_catalog.clock_timestamp();
    made integer;
begin
    if exists (select from unnest(topics) t where t is null or pg_catalog.length(t) not between 1 and 200 or t ~ '[^A-Za-z0-9_.:/-]') then
        raise exception 'A topic has 1 to 200 letters, digits and . _ : / -' using errcode = '23514';
    end if;
    if exists (select from unnest(contents) c where pg_catalog.octet_length(c) > 1048576) then
        raise exception 'An event''s value has at most 1 MiB of JSON' using errcode = '23514';
    end if;
    insert into tenantry.events (tenant_id, topic, place, at, n, id, slot, value)
    select tenant, e.topic, place, moment, e.n, pg_catalog.lpad(pg_catalog.to_hex(own), 32, '0')::uuid, r.slot, e.value
      from unnest(topics, contents) with ordinality as e (topic, value, n)
     cross join tenantry.event_ring r;
    get diagnostics made = row_count;
    return made;
end
$$;

-- ------------------------------------------------------------------ publish(), of the sealed tenant

-- They wrote through put_events(), as tenantry_members; now they belong to who owns the table, and write it themselves.
reset role;
set local role tenantry_members;
drop function tenantry.publish(text[], text[]);
reset role;
set local role tenantry_owner;

-- SECURITY DEFINER: platform may not write the table; the tenant is the sealed one and no other.
create function tenantry.publish(topics text[], contents text[]) returns integer
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

-- SECURITY DEFINER: as above. For one event, without arrays and without a second function. Each expression of a function is made
-- ready anew in each transaction, so there are few.
create function tenantry.publish(topic text, content text) returns integer
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    tenant constant uuid := public.get_current_tenant_id();
begin
    if (tenant is not null and pg_catalog.length(topic) between 1 and 200 and topic !~ '[^A-Za-z0-9_.:/-]'
        and pg_catalog.octet_length(content) <= 1048576) is not true then
        if tenant is null then
            raise exception 'No tenant selected' using errcode = 'TN403';
        end if;
        -- It asks the same, and says what is wrong.
        return tenantry.put_events(tenant, array[topic], array[content]);
    end if;
    insert into tenantry.events (tenant_id, topic, place, at, n, id, slot, value)
    -- As in put_events(): this statement has a fresh snapshot of its own.
    select tenant, publish.topic,
           greatest(pg_catalog.pg_current_xact_id()::text::bigint,
                    pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - 1),
           pg_catalog.clock_timestamp(), 1,
           pg_catalog.lpad(pg_catalog.to_hex(pg_catalog.pg_current_xact_id()::text::bigint), 32, '0')::uuid, r.slot, content
      from tenantry.event_ring r;
    return 1;
end
$$;
comment on function tenantry.publish(text, text) is 'Publishes a JSON text under a topic of the current tenant; seen when the transaction commits.';

revoke all on function tenantry.publish(text[], text[]), tenantry.publish(text, text) from public;
grant execute on function tenantry.publish(text[], text[]), tenantry.publish(text, text)
    to platform, tenantry_members, tenantry_signin, tenantry_system;

-- ------------------------------------------------------------------ users.changed

-- It runs as who changes memberships: inside a tenant it goes by the sealed one, else by the row's. It asks by itself whether there is a
-- difference: a trigger's WHEN clause is planned anew by each statement.
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
        if new.tenant_id = public.get_current_tenant_id() then
            -- Assigned, not performed: an expression needs no statement of its own.
            done := tenantry.publish('users.changed', '{"id": "' || new.id || '", "change": "updated"}');
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
        done := tenantry.publish('users.changed', content);
    else
        done := tenantry.put_events(changed.tenant_id, array['users.changed'], array[content]);
    end if;
    return null;
end
$$;
revoke all on function tenantry.publish_users_changed() from public;

drop trigger users_updated on public.users;
create trigger users_updated
    after update on public.users
    for each row execute function tenantry.publish_users_changed();
comment on trigger users_updated on public.users is 'Publishes users.changed: updated, where name, role or email differ.';

insert into tenantry.allowed_definer (function, why) values
    ('tenantry.publish(text,text)', 'Writes an event of the one tenant that was entered; platform may not write the table.')
    on conflict do nothing;
reset role;
