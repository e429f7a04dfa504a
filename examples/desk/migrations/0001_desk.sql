create table projects (
    id uuid primary key default gen_random_uuid(),
    name text not null,
    closed boolean not null default false
);
select tenantry.protect('projects');

create table notes (
    id uuid primary key default gen_random_uuid(),
    project_id uuid not null references projects,
    body text not null,
    status text not null default 'open' check (status in ('open', 'done')),
    due_at timestamptz,
    issue text,
    created_at timestamptz not null default now()
);
create index notes_created_idx on notes (project_id, created_at, id);
select tenantry.protect('notes');

create table attachments (
    id uuid primary key default gen_random_uuid(),
    note_id uuid not null references notes,
    name text not null,
    key text not null
);
select tenantry.protect('attachments');

create table comments (
    id uuid primary key default gen_random_uuid(),
    note_id uuid not null references notes,
    body text not null,
    author_id uuid default tenantry.user_id()
);
select tenantry.protect('comments', owner => 'author_id');   -- own rows, or role admin, may be changed or removed
