-- tenantry.enter(), as in 0016 and quicker: whoever comes in as usual is asked one question instead of four.
--
-- No SET clause, every name and operator qualified. This file may be run again: it then puts back what was changed.

do $$
declare
    -- The context is sealed by the same statement that looks it up.
    sealing constant text := case tenantry.seal()
        when 'vault' then $seal$pg_catalog.set_config('backtrace_functions', c.context, true)$seal$
        else $seal$pg_catalog.set_config(
               'app.tenant_seal',
               c.context operator(pg_catalog.||) ',' operator(pg_catalog.||) pg_catalog.encode(
                   pg_catalog.sha256(k.key operator(pg_catalog.||) pg_catalog.sha256(
                       k.key
                       operator(pg_catalog.||) pg_catalog.convert_to(c.context, 'UTF8')
                       operator(pg_catalog.||) pg_catalog.timestamptz_send(pg_catalog.now()))),
                   'hex'),
               true)$seal$
    end;
    key_from constant text := case tenantry.seal() when 'vault' then '' else E'\n      cross join tenantry.seal_key k' end;
begin
    set local role tenantry_gate;
    execute format($f$
create or replace function tenantry.enter(
    credential bytea, read_only boolean default false, need text default null, tenant uuid default null,
    deadline_ms integer default null,
    out tenant_id uuid, out user_id uuid, out identity_id uuid, out role text
)
    language plpgsql volatile parallel unsafe security definer
as $body$
declare
    status pg_catalog.text;
    done pg_catalog.text;
    is_allowed pg_catalog.bool;
    path pg_catalog.text;
begin
    if pg_catalog.current_setting('search_path') operator(pg_catalog.<>) 'public'
       or pg_catalog.current_setting('row_security') operator(pg_catalog.<>) 'on'
       or pg_catalog.current_setting('standard_conforming_strings') operator(pg_catalog.<>) 'on'
       or pg_catalog.current_setting('role') operator(pg_catalog.<>) 'none' then
        raise exception 'tenantry: session state was changed; drop this connection' using errcode = 'TN900';
    end if;

    select s.tenant_id, u.id, s.identity_id, u.role, n.status,
           case when u.id is not null then %1$s end,
           pg_catalog.set_config('app.current_tenant_id', s.tenant_id::pg_catalog.text, true),
           case when read_only then pg_catalog.set_config('transaction_read_only', 'on', true) end,
           case when deadline_ms is not null then pg_catalog.set_config('statement_timeout', deadline_ms::pg_catalog.text, true) end
      into tenant_id, user_id, identity_id, role, status, done, done, done, done
      from public.auth_sessions s
      left join public.users u
        on u.tenant_id operator(pg_catalog.=) s.tenant_id
       and u.identity_id operator(pg_catalog.=) s.identity_id
      left join tenantry.tenants n
        on n.id operator(pg_catalog.=) s.tenant_id
     cross join lateral (
            select pg_catalog.replace(s.tenant_id::pg_catalog.text, '-', '')
                   operator(pg_catalog.||) ',' operator(pg_catalog.||) pg_catalog.replace(u.id::pg_catalog.text, '-', '')
                   operator(pg_catalog.||) ',' operator(pg_catalog.||) u.role as context
           ) c%2$s
     where s.token_hash operator(pg_catalog.=) pg_catalog.sha256(credential)
       and s.expires operator(pg_catalog.>) pg_catalog.now();

    -- One question for all that is seldom so: each expression of a function is made ready anew in each transaction (0.5 us).
    if user_id is null
       or tenant operator(pg_catalog.<>) tenant_id
       or status operator(pg_catalog.<>) 'active'
       or (need is not null and need operator(pg_catalog.<>) 'member') then
        if user_id is null then
            if identity_id is null and pg_catalog.substr(credential, 1, 9) operator(pg_catalog.=) '\x746e745f6c6976655f'::pg_catalog.bytea then
                path := pg_catalog.split_part(need, ' ', 1);
                need := nullif(pg_catalog.split_part(need, ' ', 2), '');
                -- The hash of the whole key is compared, of which a caller cannot choose a single bit.
                select k.tenant_id, coalesce(u.id, k.acts_as), coalesce(u.identity_id, k.acts_as), r.role, n.status,
                       %3$s,
                       pg_catalog.set_config('app.current_tenant_id', k.tenant_id::pg_catalog.text, true),
                       case when read_only then pg_catalog.set_config('transaction_read_only', 'on', true) end,
                       case when deadline_ms is not null then pg_catalog.set_config('statement_timeout', deadline_ms::pg_catalog.text, true) end
                  into tenant_id, user_id, identity_id, role, status, done, done, done, done
                  from public.auth_api_keys k
                  left join public.users u
                    on u.tenant_id operator(pg_catalog.=) k.tenant_id
                   and u.id operator(pg_catalog.=) k.user_id
                  left join tenantry.tenants n
                    on n.id operator(pg_catalog.=) k.tenant_id
                 cross join lateral (
                        -- The lesser of the key's role and its creator's as it is now.
                        select case
                            when k.user_id is null or k.role operator(pg_catalog.=) u.role or u.role operator(pg_catalog.=) 'owner' then k.role
                            when k.role operator(pg_catalog.=) 'owner' or u.role operator(pg_catalog.=) 'member' then u.role
                            else k.role
                        end as role
                       ) r
                 cross join lateral (
                        select pg_catalog.replace(k.tenant_id::pg_catalog.text, '-', '')
                               operator(pg_catalog.||) ',' operator(pg_catalog.||)
                               pg_catalog.replace(coalesce(u.id, k.acts_as)::pg_catalog.text, '-', '')
                               operator(pg_catalog.||) ',' operator(pg_catalog.||) r.role as context
                       ) c%2$s
                 where k.id operator(pg_catalog.=) pg_catalog.convert_from(pg_catalog.substr(credential, 10, 10), 'SQL_ASCII')
                   and k.key_hash operator(pg_catalog.=) pg_catalog.sha256(credential)
                   and (k.user_id is null or u.id is not null)
                   and (k.expires is null or k.expires operator(pg_catalog.>) pg_catalog.now());
                if user_id is not null and not tenantry.key_may(
                    (select k.scopes from public.auth_api_keys k where k.key_hash operator(pg_catalog.=) pg_catalog.sha256(credential)
                        and k.id operator(pg_catalog.=) pg_catalog.convert_from(pg_catalog.substr(credential, 10, 10), 'SQL_ASCII')),
                    path, read_only) then
                    raise exception 'This key may not do this.' using errcode = 'TN403';
                end if;
            end if;
        end if;
        if user_id is null then
            -- Unknown, expired, revoked, no longer a member: one answer. What was set above is undone with the transaction.
            if identity_id is not null and tenant_id is null then
                raise exception 'No tenant selected' using errcode = 'TN403';
            end if;
            raise exception 'No active session - please sign in' using errcode = 'TN401';
        end if;
        if tenant operator(pg_catalog.<>) tenant_id then
            raise exception 'Your session is in another tenant than this page; reload it.' using errcode = 'TN409';
        end if;
        if status operator(pg_catalog.<>) 'active' then
            raise exception 'This tenant is suspended.' using errcode = 'TN423';
        end if;
        if need is not null and need operator(pg_catalog.<>) 'member' then
            is_allowed := case need
                when 'admin' then role operator(pg_catalog.<>) 'member'
                when 'owner' then role operator(pg_catalog.=) 'owner'
                else tenantry.can(need)
            end;
            if not is_allowed then
                raise exception 'You may not do this.' using errcode = 'TN403';
            end if;
        end if;
    end if;
end
$body$
$f$, sealing, key_from, sealing);
    reset role;
end
$$;

set local role tenantry_gate;
comment on function tenantry.enter(bytea, boolean, text, uuid, integer) is
    'Opens the tenant that a credential belongs to, for this transaction only. Raises TN401, TN403, TN409, TN423, TN900.';
revoke all on function tenantry.enter(bytea, boolean, text, uuid, integer) from public;
grant execute on function tenantry.enter(bytea, boolean, text, uuid, integer) to platform;
reset role;
