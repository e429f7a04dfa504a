-- A schema a tenant, found by search_path: nothing but the path keeps them apart, and the tables have no tenant's column.
create schema tenant_acme;
create schema tenant_globex;
create table tenant_acme.notes (id bigint generated always as identity primary key, body text not null);
create table tenant_globex.notes (id bigint generated always as identity primary key, body text not null);
grant usage on schema tenant_acme, tenant_globex to apart;
grant select, insert, update, delete on tenant_acme.notes, tenant_globex.notes to apart;
insert into tenant_acme.notes (body) values ('a');
insert into tenant_globex.notes (body) values ('b');
