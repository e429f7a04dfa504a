-- Sign-in, sessions and the e-mail link, as functions of tenantry_auth: one trip each, decided here.
--
-- SECURITY DEFINER, because the login reads no table. What must leave a line in the trail though it is refused does not raise: it
-- gives an outcome, which is Auth.js' own error code. Tokens come in and are hashed at once.

set local role tenantry_signin;

create or replace function tenantry.take_limits(wanted text) returns integer
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    one record;
    line tenantry.sender_limits;
    wait integer := 0;
begin
    -- In the order of the keys: of two senders with the same keys, none waits for the other crosswise.
    for one in
        select w.key, w.most, w.seconds, w.cost
          from pg_catalog.jsonb_to_recordset(wanted::jsonb) as w (key text, most integer, seconds integer, cost integer)
         order by w.key
    loop
        if one.cost = 0 then
            select * into line from tenantry.sender_limits l where l.key = one.key and l.ends > pg_catalog.now();
            if line.count >= one.most then
                wait := greatest(wait, pg_catalog.ceil(extract(epoch from line.ends - pg_catalog.now()))::integer, 1);
            end if;
            continue;
        end if;
        insert into tenantry.sender_limits as l (key, began, ends, count)
        values (one.key, pg_catalog.now(), pg_catalog.now() + pg_catalog.make_interval(secs => one.seconds), one.cost)
            on conflict on constraint sender_limits_pkey do update
           set began = case when l.ends <= pg_catalog.now() then excluded.began else l.began end,
               count = case when l.ends <= pg_catalog.now() then excluded.count else least(l.count, 1000000) + one.cost end,
               ends = case when l.ends <= pg_catalog.now() then excluded.ends else l.ends end
        returning * into line;
        if line.count > one.most then
            wait := greatest(wait, pg_catalog.ceil(extract(epoch from line.ends - pg_catalog.now()))::integer, 1);
        end if;
    end loop;
    -- A few old windows go with every call, so that the table stays as small as its senders are few.
    delete from tenantry.sender_limits l
     where l.key in (select o.key from tenantry.sender_limits o where o.ends < pg_catalog.now() limit 20 for update skip locked);
    return wait;
end
$$;
comment on function tenantry.take_limits(text) is
    'Counts [{key, most, seconds, cost}] and gives the seconds to wait, 0 for none; a cost of 0 only looks.';

create or replace function tenantry.note(action text, reason text, visit text) returns void
    language sql volatile security definer set search_path = ''
    begin atomic
        select tenantry.audit(null, action, null, null, pg_catalog.jsonb_build_object('reason', reason), visit::jsonb);
    end;
comment on function tenantry.note(text, text, text) is 'Writes down what happened before anybody was known: a sign-in that failed, two cookies of one name.';

create or replace function tenantry.best_tenant(identity uuid) returns uuid
    language sql stable set search_path = ''
    begin atomic
        select u.tenant_id
          from public.users u
          join tenantry.tenants n on n.id = u.tenant_id and n.status = 'active'
          left join public.auth_identities i on i.id = u.identity_id and i.last_tenant_id = u.tenant_id
         where u.identity_id = identity
         order by i.id is null, u.created_at, u.id
         limit 1;
    end;
comment on function tenantry.best_tenant(uuid) is 'Where a person goes on after sign-in: the tenant last used, else the oldest membership, else none.';

-- Makes the session, and ends the one that the same person came with: a token never outlives a sign-in.
create or replace function tenantry.open_session(
    identity uuid, new_token bytea, old_token bytea, provider text, max_age integer, visit jsonb,
    out tenant uuid, out expires timestamptz
)
    language plpgsql volatile set search_path = ''
as $$
begin
    if pg_catalog.length(new_token) < 32 then
        raise exception 'a session token has at least 32 bytes' using errcode = '22023';
    end if;
    tenant := tenantry.best_tenant(identity);
    expires := pg_catalog.date_trunc('milliseconds', pg_catalog.now() + pg_catalog.make_interval(secs => max_age));
    delete from public.auth_sessions s
     where old_token is not null and s.token_hash = pg_catalog.sha256(old_token) and s.identity_id = identity;
    insert into public.auth_sessions (token_hash, identity_id, tenant_id, expires, last_seen_at, provider, ip, user_agent)
    values (pg_catalog.sha256(new_token), identity, tenant, open_session.expires, pg_catalog.now(), provider,
            (visit ->> 'ip')::inet, pg_catalog."left"(visit ->> 'agent', 300));
    perform tenantry.audit(tenant, 'sign_in', identity, provider, null, visit);
end
$$;
comment on function tenantry.open_session(uuid, bytea, bytea, text, integer, jsonb) is 'A new session of a person, in place of the one it came with.';

create or replace function tenantry.sign_in(
    facts text, new_token bytea, old_token bytea, visit text,
    out outcome text, out is_new boolean, out expires timestamptz, out reason text
)
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    f constant jsonb := facts::jsonb;
    v constant jsonb := visit::jsonb;
    session public.auth_sessions;
    owner uuid;
    person public.auth_identities;
    is_verified constant boolean := coalesce((f ->> 'is_verified')::boolean, false);
    is_linked boolean := false;
begin
    is_new := false;
    -- First sign-ins of one account, or of one address, go one by one.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('tenantry.account:' || (f ->> 'provider') || ':' || (f ->> 'account'), 0));
    if f ->> 'email' is not null then
        perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('tenantry.address:' || (f ->> 'email'), 0));
    end if;
    select * into session from public.auth_sessions s
     where old_token is not null and s.token_hash = pg_catalog.sha256(old_token) and s.expires > pg_catalog.now();
    select a.identity_id into owner from public.auth_accounts a
     where a.provider = f ->> 'provider' and a.provider_account_id = f ->> 'account';

    if owner is not null then
        -- A link that came by mail signs in whoever the address belongs to; a provider's account does not change who is signed in.
        if session.identity_id <> owner and f ->> 'type' <> 'email' then
            outcome := 'OAuthAccountNotLinked';
            reason := 'account_of_another';
        end if;
    elsif session.id is not null and f ->> 'intent' = 'link' then
        if session.auth_time < pg_catalog.now() - interval '10 minutes' then
            outcome := 'AccountNotLinked';
            reason := 'sign_in_too_old';
        else
            owner := session.identity_id;
            is_linked := true;
        end if;
    elsif f ->> 'intent' = 'link' then
        outcome := 'AccountNotLinked';
        reason := 'signed_out';
    elsif f ->> 'email' is null then
        outcome := 'AccessDenied';
        reason := 'no_address';
    else
        select * into person from public.auth_identities i where i.email = f ->> 'email';
        if person.id is null then
            if f ->> 'sign_up' = 'open'
               or exists (select from public.auth_invitations n where n.email = f ->> 'email' and n.expires > pg_catalog.now()) then
                insert into public.auth_identities as i (email, name, image, email_verified)
                values (f ->> 'email', pg_catalog."left"(f ->> 'name', 200), pg_catalog."left"(f ->> 'image', 2000),
                        case when is_verified then pg_catalog.now() end)
                returning i.id into owner;
                is_new := true;
            else
                outcome := 'AccessDenied';
                reason := 'sign_up_closed';
            end if;
        elsif f ->> 'type' = 'email' then
            owner := person.id;
            -- Whoever came first under this address never proved it; now it is proved by someone, and what the first one linked goes.
            if person.email_verified is null then
                delete from public.auth_accounts a where a.identity_id = owner;
                if found then
                    perform tenantry.audit(null, 'account_unlinked', owner, 'unproved', null, v);
                end if;
                delete from public.auth_sessions s where s.identity_id = owner;
            end if;
        elsif (f ->> 'is_linking_verified')::boolean and is_verified and person.email_verified is not null then
            owner := person.id;
            is_linked := true;
        else
            outcome := 'OAuthAccountNotLinked';
            reason := 'address_of_another';
        end if;
    end if;

    if outcome is not null then
        perform tenantry.audit(null, 'sign_in_failed', owner, f ->> 'provider', pg_catalog.jsonb_build_object('reason', reason), v);
        return;
    end if;
    insert into public.auth_accounts as a (provider, provider_account_id, identity_id, type, facts, tokens)
    values (f ->> 'provider', f ->> 'account', owner, f ->> 'type', coalesce(f -> 'facts', '{}'), pg_catalog.decode(f ->> 'tokens', 'hex'))
        on conflict on constraint auth_accounts_pkey do update
       set facts = excluded.facts, tokens = coalesce(excluded.tokens, a.tokens);
    if is_linked then
        perform tenantry.audit(null, 'account_linked', owner, f ->> 'provider', null, v);
    end if;
    update public.auth_identities i
       set name = coalesce(i.name, pg_catalog."left"(f ->> 'name', 200)),
           image = coalesce(i.image, pg_catalog."left"(f ->> 'image', 2000)),
           email_verified = coalesce(i.email_verified, case when is_verified and i.email = f ->> 'email' then pg_catalog.now() end)
     where i.id = owner;
    select o.expires into sign_in.expires
      from tenantry.open_session(owner, new_token, old_token, f ->> 'provider', (f ->> 'max_age')::integer, v) o;
    outcome := case when is_linked and f ->> 'intent' = 'link' then 'linked' else 'ok' end;
end
$$;
comment on function tenantry.sign_in(text, bytea, bytea, text) is
    'Which person a provider''s account is, and a session for them: ok, linked, or Auth.js'' error code with the reason for the trail.';

create or replace function tenantry.read_session(token bytea, max_age integer, update_age integer, absolute_age integer)
    returns table (identity_id uuid, name text, email text, image text, expires timestamptz, user_id uuid, role text,
                   tenant_id uuid, slug text, tenant_name text)
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    session public.auth_sessions;
    ends timestamptz;
begin
    select * into session from public.auth_sessions s where s.token_hash = pg_catalog.sha256(token);
    if session.id is null then
        return;
    end if;
    if session.expires <= pg_catalog.now()
       or (absolute_age > 0 and session.auth_time + pg_catalog.make_interval(secs => absolute_age) <= pg_catalog.now()) then
        delete from public.auth_sessions s where s.id = session.id;
        return;
    end if;
    ends := session.expires;
    if ends - pg_catalog.make_interval(secs => max_age) + pg_catalog.make_interval(secs => update_age) <= pg_catalog.now() then
        ends := pg_catalog.date_trunc('milliseconds', pg_catalog.now() + pg_catalog.make_interval(secs => max_age));
        if absolute_age > 0 then
            ends := least(ends, session.auth_time + pg_catalog.make_interval(secs => absolute_age));
        end if;
    end if;
    -- A session that is looked at often is not written each time.
    if ends <> session.expires or session.last_seen_at is null or session.last_seen_at < pg_catalog.now() - interval '5 minutes' then
        update public.auth_sessions s set expires = ends, last_seen_at = pg_catalog.now() where s.id = session.id;
    end if;
    return query
    select i.id, i.name, i.email, i.image, ends, u.id, u.role, n.id, n.slug, n.name
      from public.auth_identities i
      left join public.users u on u.identity_id = i.id and u.tenant_id = session.tenant_id
      left join tenantry.tenants n on n.id = u.tenant_id and n.status = 'active'
     where i.id = session.identity_id;
end
$$;
comment on function tenantry.read_session(bytea, integer, integer, integer) is
    'The session of a token with its person and tenant, slid on when it is due; no row for one that is over, and its line goes.';

create or replace function tenantry.sign_out(token bytea, visit text) returns boolean
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    ended public.auth_sessions;
begin
    delete from public.auth_sessions s where s.token_hash = pg_catalog.sha256(token) returning * into ended;
    if ended.id is null then
        return false;
    end if;
    perform tenantry.audit(ended.tenant_id, 'sign_out', ended.identity_id, null, null, visit::jsonb);
    return true;
end
$$;
comment on function tenantry.sign_out(bytea, text) is 'Ends the session of a token.';

-- The e-mail link. The answer is the same whether anybody has the address: only whether to send differs, and nobody waits for that.
create or replace function tenantry.begin_email(
    address text, token_hash bytea, code_hash bytea, seconds integer, sign_up text, visit text,
    out id uuid, out is_to_send boolean
)
    language plpgsql volatile security definer set search_path = ''
as $$
begin
    id := pg_catalog.gen_random_uuid();
    is_to_send := sign_up = 'open'
        or exists (select from public.auth_identities i where i.email = address)
        or exists (select from public.auth_invitations n where n.email = address and n.expires > pg_catalog.now());
    delete from public.auth_verifications x
     where x.id in (select o.id from public.auth_verifications o where o.expires < pg_catalog.now() limit 20 for update skip locked);
    if is_to_send then
        insert into public.auth_verifications (id, identifier, token_hash, code_hash, expires)
        values (begin_email.id, address, begin_email.token_hash, begin_email.code_hash,
                pg_catalog.now() + pg_catalog.make_interval(secs => seconds));
    end if;
end
$$;
comment on function tenantry.begin_email(text, bytea, bytea, integer, text, text) is 'Keeps a link and a code that wait for their owner, if the address may sign in.';

create or replace function tenantry.peek_email(address text, hashes text) returns boolean
    language sql stable security definer set search_path = ''
    begin atomic
        select exists (
            select from public.auth_verifications x
             where x.identifier = address
               and pg_catalog.encode(x.token_hash, 'hex') = any (pg_catalog.string_to_array(hashes, ','))
               and x.expires > pg_catalog.now()
        );
    end;
comment on function tenantry.peek_email(text, text) is 'Whether a link would sign in; changes nothing, because mail scanners look too.';

-- `facts` as for sign_in, with "hashes" (the link) or "id" and "code_hashes" (the code).
create or replace function tenantry.finish_email(
    facts text, new_token bytea, old_token bytea, visit text,
    out outcome text, out is_new boolean, out expires timestamptz, out reason text
)
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    f constant jsonb := facts::jsonb;
    address text;
begin
    if f ->> 'hashes' is not null then
        delete from public.auth_verifications x
         where x.identifier = f ->> 'email'
           and pg_catalog.encode(x.token_hash, 'hex') = any (pg_catalog.string_to_array(f ->> 'hashes', ','))
           and x.expires > pg_catalog.now()
        returning x.identifier into address;
    else
        delete from public.auth_verifications x
         where x.id = (f ->> 'id')::uuid
           and x.tries < 5
           and pg_catalog.encode(x.code_hash, 'hex') = any (pg_catalog.string_to_array(f ->> 'code_hashes', ','))
           and x.expires > pg_catalog.now()
        returning x.identifier into address;
        if address is null then
            update public.auth_verifications x set tries = x.tries + 1 where x.id = (f ->> 'id')::uuid and x.tries < 5;
        end if;
    end if;
    if address is null then
        outcome := 'Verification';
        reason := case when f ->> 'hashes' is null then 'code' else 'link' end;
        is_new := false;
        perform tenantry.audit(null, 'sign_in_failed', null, 'email', pg_catalog.jsonb_build_object('reason', reason), visit::jsonb);
        return;
    end if;
    select s.outcome, s.is_new, s.expires, s.reason
      into outcome, is_new, expires, reason
      from tenantry.sign_in(
          (f || pg_catalog.jsonb_build_object('email', address, 'account', address, 'provider', 'email', 'type', 'email', 'is_verified', true))::text,
          new_token, old_token, visit) s;
end
$$;
comment on function tenantry.finish_email(text, bytea, bytea, text) is 'Uses up a link or a code, once, and signs its address in.';

-- 0009's, with a line in the trail, and what a session carries over.
drop function tenantry.switch_tenant(bytea, bytea, text);
create or replace function tenantry.switch_tenant(credential bytea, new_token bytea, tenant text, visit text)
    returns table (tenant_id uuid, slug text, name text, role text, expires timestamptz)
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    session constant public.auth_sessions := tenantry.session_of(credential);
    found record;
    ended uuid;
begin
    select n.id, n.slug, n.name, n.status, u.role
      into found
      from public.users u
      join tenantry.tenants n on n.id = u.tenant_id
     where u.identity_id = session.identity_id and (n.slug = tenant or n.id::text = pg_catalog.lower(tenant))
     order by n.id::text = pg_catalog.lower(tenant) desc
     limit 1;
    if found.id is null then
        raise exception 'Not a member of this tenant' using errcode = 'TN403';
    end if;
    if found.status <> 'active' then
        raise exception 'This tenant is suspended.' using errcode = 'TN423';
    end if;
    if pg_catalog.length(new_token) < 32 then
        raise exception 'a session token has at least 32 bytes' using errcode = '22023';
    end if;
    -- The old token ends with the new one's beginning; of two switches at once, one finds no session.
    delete from public.auth_sessions s where s.id = session.id returning s.id into ended;
    if ended is null then
        raise exception 'No active session - please sign in' using errcode = 'TN401';
    end if;
    insert into public.auth_sessions (token_hash, identity_id, tenant_id, expires, last_seen_at, auth_time, provider, ip, user_agent)
    values (pg_catalog.sha256(new_token), session.identity_id, found.id, session.expires, pg_catalog.now(), session.auth_time,
            session.provider, session.ip, session.user_agent);
    update public.auth_identities i set last_tenant_id = found.id
     where i.id = session.identity_id and i.last_tenant_id is distinct from found.id;
    perform tenantry.audit(found.id, 'tenant_switched', session.identity_id, session.tenant_id::text, null, visit::jsonb);
    return query select found.id, found.slug, found.name, found.role, session.expires;
end
$$;
comment on function tenantry.switch_tenant(bytea, bytea, text, text) is
    'Goes on in another tenant (id or slug) under a new token; the old one ends. Raises TN401, TN403, TN423.';

revoke all on function tenantry.take_limits(text), tenantry.note(text, text, text), tenantry.best_tenant(uuid),
    tenantry.open_session(uuid, bytea, bytea, text, integer, jsonb), tenantry.sign_in(text, bytea, bytea, text),
    tenantry.read_session(bytea, integer, integer, integer), tenantry.sign_out(bytea, text),
    tenantry.begin_email(text, bytea, bytea, integer, text, text), tenantry.peek_email(text, text),
    tenantry.finish_email(text, bytea, bytea, text), tenantry.switch_tenant(bytea, bytea, text, text) from public;
grant execute on function tenantry.take_limits(text), tenantry.note(text, text, text), tenantry.sign_in(text, bytea, bytea, text),
    tenantry.read_session(bytea, integer, integer, integer), tenantry.sign_out(bytea, text),
    tenantry.begin_email(text, bytea, bytea, integer, text, text), tenantry.peek_email(text, text),
    tenantry.finish_email(text, bytea, bytea, text), tenantry.switch_tenant(bytea, bytea, text, text) to tenantry_auth;
reset role;

set local role tenantry_owner;
delete from tenantry.allowed_definer where function = 'tenantry.switch_tenant(bytea,bytea,text)';
insert into tenantry.allowed_definer (function, why)
values ('tenantry.take_limits(text)', 'Counts senders; for tenantry_auth.'),
       ('tenantry.note(text,text,text)', 'Writes to the trail before anybody is known; for tenantry_auth.'),
       ('tenantry.sign_in(text,bytea,bytea,text)', 'Finds or makes a person, and makes a session; for tenantry_auth.'),
       ('tenantry.read_session(bytea,integer,integer,integer)', 'Who holds a token sees its session; for tenantry_auth.'),
       ('tenantry.sign_out(bytea,text)', 'Who holds a token may end its session; for tenantry_auth.'),
       ('tenantry.begin_email(text,bytea,bytea,integer,text,text)', 'Keeps a link that waits; for tenantry_auth.'),
       ('tenantry.peek_email(text,text)', 'Whether a link is good; for tenantry_auth.'),
       ('tenantry.switch_tenant(bytea,bytea,text,text)', 'Rotates the session into another of its person''s tenants; for tenantry_auth.'),
       ('tenantry.finish_email(text,bytea,bytea,text)', 'Uses a link or a code and makes a session; for tenantry_auth.')
    on conflict do nothing;
reset role;
