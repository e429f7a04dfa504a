-- The fingerprints of Tenantry's own functions and triggers: what each is, so that one that is replaced is found (verify, V45).
--
-- `tenantry db push` writes a row for each that a migration of ours makes, in the migration's transaction, and puts back what differs.

set local role tenantry_owner;
create table tenantry.fingerprints (
    kind text not null constraint fingerprints_kind_check check (kind in ('function', 'trigger')),
    name text not null,
    server integer not null,
    facts jsonb not null,
    definition text not null,
    constraint fingerprints_pkey primary key (kind, name)
);
comment on table tenantry.fingerprints is 'What each of Tenantry''s functions and triggers must be, as the server of that major version gives it back.';
select tenantry.keep('tenantry.fingerprints');
select tenantry.put_policy('tenantry.fingerprints', 'tenantry_owner', 'all', 'tenantry_owner', 'true', 'true',
                           'db push writes down what migrations make.');
select tenantry.put_policy('tenantry.fingerprints', 'tenantry_select', 'select', 'public', 'true', null,
                           'What a function must be is no secret: the start check and the doctor read it.');
select tenantry.put_grant('tenantry.fingerprints', 'platform', 'select');
select tenantry.put_grant('tenantry.fingerprints', 'tenantry_ops', 'select');
reset role;
