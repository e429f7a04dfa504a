-- The history of migrations goes by kind and name: an application's 0011_events.sql is not Tenantry's.

set local role tenantry_owner;
alter table tenantry.migrations drop constraint migrations_pkey;
alter table tenantry.migrations add constraint migrations_pkey primary key (kind, name);
reset role;
