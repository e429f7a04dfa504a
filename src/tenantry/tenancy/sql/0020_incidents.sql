-- What the watcher keeps in the database: incidents with their timelines, silences, and where each alert stood.
--
-- The watcher's own file in TENANTRY_HOME goes before it, since incidents happen when there is no database; here they are kept for
-- other machines and for later. No tenant, person of a tenant, or row ever stands here.

set local role tenantry_owner;

create table tenantry.incidents (
    id text constraint incidents_pkey primary key,
    service text not null,
    kind text not null
        constraint incidents_kind_check check (kind in ('alerts', 'corruption', 'rls_breach', 'security', 'data_breach')),
    severity text not null constraint incidents_severity_check check (severity in ('critical', 'warning')),
    opened_at timestamptz not null,
    resolved_at timestamptz,
    body jsonb not null,
    updated_at timestamptz not null default now()
);
create index incidents_opened_at_idx on tenantry.incidents (opened_at);
comment on table tenantry.incidents is 'Incidents with their timelines, as the watcher keeps them.';
comment on column tenantry.incidents.body is 'The whole incident: alerts, acknowledgement, levels paged, timeline.';

create table tenantry.alert_state (
    service text not null,
    alert text not null,
    state text not null constraint alert_state_state_check check (state in ('inactive', 'pending', 'firing')),
    since timestamptz not null,
    value double precision,
    updated_at timestamptz not null default now(),
    constraint alert_state_pkey primary key (service, alert)
);
comment on table tenantry.alert_state is 'Where each alert stood at the watcher''s last tick.';

select tenantry.keep('tenantry.incidents');
select tenantry.keep('tenantry.alert_state');
select tenantry.put_policy('tenantry.incidents', 'tenantry_ops', 'all', 'tenantry_ops', 'true', 'true', 'The watcher writes them, the doctor reads them.');
select tenantry.put_policy('tenantry.alert_state', 'tenantry_ops', 'all', 'tenantry_ops', 'true', 'true', 'The watcher writes it, the doctor reads it.');
select tenantry.put_grant('tenantry.incidents', 'tenantry_ops', 'select');
select tenantry.put_grant('tenantry.incidents', 'tenantry_ops', 'insert');
select tenantry.put_grant('tenantry.incidents', 'tenantry_ops', 'update');
select tenantry.put_grant('tenantry.incidents', 'tenantry_ops', 'delete');
select tenantry.put_grant('tenantry.alert_state', 'tenantry_ops', 'select');
select tenantry.put_grant('tenantry.alert_state', 'tenantry_ops', 'insert');
select tenantry.put_grant('tenantry.alert_state', 'tenantry_ops', 'update');
grant usage on schema tenantry to tenantry_ops;
reset role;
