-- PostgREST: claims of the token in one setting, policies by JSON paths, functions as RPC. All is right here but one policy for updates.
create schema api;
create table api.notes (
    id uuid primary key default gen_random_uuid(),
    org_id uuid not null default (nullif(current_setting('request.jwt.claims', true), '')::json ->> 'org_id')::uuid,
    body text not null
);
create index notes_org on api.notes (org_id);
create table api.files (
    id uuid primary key default gen_random_uuid(),
    org_id uuid not null default (nullif(current_setting('request.jwt.claims', true), '')::json ->> 'org_id')::uuid,
    name text not null
);
create index files_org on api.files (org_id);
alter table api.notes enable row level security;
alter table api.files enable row level security;
create policy mine on api.notes to web_user
    using (org_id = (select (nullif(current_setting('request.jwt.claims', true), '')::json ->> 'org_id')::uuid))
    with check (org_id = (select (nullif(current_setting('request.jwt.claims', true), '')::json ->> 'org_id')::uuid));
create policy read on api.files for select to web_user
    using (org_id = (select (nullif(current_setting('request.jwt.claims', true), '')::json ->> 'org_id')::uuid));
create policy write on api.files for update to web_user using (true) with check (true);
create function api.count_notes() returns bigint language sql stable as $$ select count(*) from api.notes $$;
grant usage on schema api to web_user;
grant select, insert, update, delete on api.notes to web_user;
grant select, update on api.files to web_user;
insert into api.notes (org_id, body) values ('aaaaaaaa-0000-4000-8000-00000000000a', 'a'), ('bbbbbbbb-0000-4000-8000-00000000000b', 'b');
insert into api.files (org_id, name) values ('aaaaaaaa-0000-4000-8000-00000000000a', 'a'), ('bbbbbbbb-0000-4000-8000-00000000000b', 'b');
