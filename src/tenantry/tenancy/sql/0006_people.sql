-- People, their log-ins and sessions, and their memberships.
--
-- platform reads and renames members of its tenant, counts live sessions and deletes expired ones (the runbook's two commands),
-- and reaches nothing else here. tenantry_auth has no table at all: it has functions (0009).

set local role tenantry_owner;

create table public.auth_identities (
    id uuid constraint auth_identities_pkey primary key default gen_random_uuid(),
    email text not null constraint auth_identities_email_key unique
        constraint auth_identities_email_check check (length(email) between 3 and 254 and email = lower(email)),
    name text,
    image text,
    email_verified timestamptz,
    created_at timestamptz not null default now()
);
comment on table public.auth_identities is 'A person, whatever tenants they belong to.';

create table public.auth_accounts (
    provider text not null,
    provider_account_id text not null,
    identity_id uuid not null constraint auth_accounts_identity_fk references public.auth_identities on delete cascade,
    type text not null,
    created_at timestamptz not null default now(),
    constraint auth_accounts_pkey primary key (provider, provider_account_id)
);
comment on table public.auth_accounts is 'A person''s log-ins at providers. Provider tokens are not kept.';
create index auth_accounts_identity_idx on public.auth_accounts (identity_id);

create table public.auth_verifications (
    identifier text not null,
    token_hash bytea not null constraint auth_verifications_token_hash_check check (length(token_hash) = 32),
    expires timestamptz not null,
    constraint auth_verifications_pkey primary key (identifier, token_hash)
);
comment on table public.auth_verifications is 'What was sent by mail and waits to be used once; hashed.';
create index auth_verifications_expires_idx on public.auth_verifications (expires);

create table public.auth_sessions (
    id uuid constraint auth_sessions_pkey primary key default gen_random_uuid(),
    token_hash bytea not null constraint auth_sessions_token_hash_check check (length(token_hash) = 32),
    identity_id uuid not null constraint auth_sessions_identity_fk references public.auth_identities on delete cascade,
    tenant_id uuid constraint auth_sessions_tenant_fk references tenantry.tenants on delete set null,
    expires timestamptz not null,
    created_at timestamptz not null default now(),
    last_seen_at timestamptz,
    auth_time timestamptz not null default now(),
    provider text,
    ip inet,
    user_agent text,
    constraint auth_sessions_token_hash_key unique (token_hash)
);
comment on table public.auth_sessions is 'A signed-in device: SHA-256 of the token, the person, and the tenant that it is in.';
create index auth_sessions_expires_idx on public.auth_sessions (expires);
create index auth_sessions_identity_idx on public.auth_sessions (identity_id);
create index auth_sessions_tenant_idx on public.auth_sessions (tenant_id);

create table public.users (
    id uuid constraint users_pkey primary key default gen_random_uuid(),
    tenant_id uuid not null default public.get_current_tenant_id(),
    identity_id uuid not null constraint users_identity_fk references public.auth_identities on delete cascade,
    email text not null,
    name text not null constraint users_name_check check (length(name) between 1 and 200),
    role text not null default 'member' constraint users_role_check check (role in ('owner', 'admin', 'member')),
    created_at timestamptz not null default now(),
    constraint users_tenant_identity_key unique (tenant_id, identity_id)
);
comment on table public.users is 'A person''s membership in one tenant, with its role. The email is the identity''s.';
comment on constraint users_role_check on public.users is 'A role is owner, admin or member';
comment on constraint users_name_check on public.users is 'A name has 1 to 200 characters';
create index users_tenant_created_idx on public.users (tenant_id, created_at, id);
create index users_identity_idx on public.users (identity_id);

select tenantry.keep('public.auth_identities');
select tenantry.keep('public.auth_accounts');
select tenantry.keep('public.auth_verifications');
select tenantry.keep('public.auth_sessions');
select tenantry.put_policy('public.auth_identities', 'tenantry_signin', 'select', 'tenantry_signin', 'true', null,
                           'Sign-in finds a person.');
select tenantry.put_grant('public.auth_identities', 'tenantry_signin', 'select');

select tenantry.put_policy('public.auth_sessions', 'tenantry_gate', 'select', 'tenantry_gate', 'true', null,
                           'enter() finds the one session that a credential hashes to.');
select tenantry.put_policy('public.auth_sessions', 'tenantry_signin_select', 'select', 'tenantry_signin', 'true', null,
                           'Sign-in finds the session that a credential hashes to.');
select tenantry.put_policy('public.auth_sessions', 'tenantry_signin_insert', 'insert', 'tenantry_signin', null, 'true',
                           'Sign-in and tenant switch make sessions.');
select tenantry.put_policy('public.auth_sessions', 'tenantry_signin_delete', 'delete', 'tenantry_signin', 'true', null,
                           'A rotated session ends at once.');
select tenantry.put_policy('public.auth_sessions', 'runbook_count', 'select', 'platform', 'true', null,
                           'The runbook counts live sessions: of each row platform may read when it expires, and nothing else.');
select tenantry.put_policy('public.auth_sessions', 'runbook_clean', 'delete', 'platform', 'expires < now()', null,
                           'The runbook deletes expired sessions.');
select tenantry.put_grant('public.auth_sessions', 'tenantry_gate', 'select');
select tenantry.put_grant('public.auth_sessions', 'tenantry_signin', 'select');
select tenantry.put_grant('public.auth_sessions', 'tenantry_signin', 'insert');
select tenantry.put_grant('public.auth_sessions', 'tenantry_signin', 'delete');
select tenantry.put_grant('public.auth_sessions', 'platform', 'select', '{expires}');
select tenantry.put_grant('public.auth_sessions', 'platform', 'delete');

-- users: protected, then taken back: members come, change role and go by functions that check the caller's role.
select tenantry.protect('public.users');
revoke insert, update, delete on public.users from platform;
select tenantry.put_grant('public.users', 'platform', 'select');
select tenantry.put_grant('public.users', 'platform', 'update', '{name}');
select tenantry.put_policy('public.users', 'tenantry_gate', 'select', 'tenantry_gate', 'true', null,
                           'enter() finds the membership of a session''s person in a session''s tenant.');
select tenantry.put_policy('public.users', 'tenantry_signin', 'select', 'tenantry_signin', 'true', null,
                           'Before a tenant is chosen, a person''s tenants are found by membership.');
select tenantry.put_grant('public.users', 'tenantry_gate', 'select');
select tenantry.put_grant('public.users', 'tenantry_signin', 'select');

reset role;
