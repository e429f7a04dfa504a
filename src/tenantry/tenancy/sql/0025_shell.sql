-- What an operator does by hand as a person (tenantry shell) stands in that tenant's trail.

set local role tenantry_signin;
create or replace function tenantry.note_shell(tenant uuid, action text, subject text, detail text) returns void
    language plpgsql volatile security definer set search_path = ''
as $$
begin
    if action not in ('shell_open', 'shell_close') then
        raise exception 'not an act of a shell' using errcode = 'TN422';
    end if;
    perform tenantry.audit(tenant, action, null, subject, detail::jsonb, null);
end
$$;
comment on function tenantry.note_shell(uuid, text, text, text) is 'Writes who opened a shell as whom, and why, into the tenant''s trail. Raises TN422.';
revoke all on function tenantry.note_shell(uuid, text, text, text) from public;
grant execute on function tenantry.note_shell(uuid, text, text, text) to tenantry_migrate;
reset role;

set local role tenantry_owner;
insert into tenantry.allowed_definer (function, why)
values ('tenantry.note_shell(uuid,text,text,text)', 'Writes an operator''s shell into the trail; for tenantry_migrate.')
    on conflict do nothing;
reset role;
