-- What the session reaper needs, in the database that it connects to. Run once as a superuser; again is harmless.

create schema if not exists hotwork;

do $$
begin
    if not exists (select from pg_roles where rolname = 'hotwork_reaper') then
        create role hotwork_reaper login;
    end if;
end
$$;
-- To end sessions of others (never those of superusers), and to see whose they are.
grant pg_signal_backend, pg_read_all_stats to hotwork_reaper;
grant usage on schema hotwork to hotwork_reaper;

-- A certificate's serial number from hex, as pg_stat_ssl has it.
create or replace function hotwork.serial(hex text) returns numeric language sql immutable strict as $$
    select sum(('x' || lpad(part, 8, '0'))::bit(32)::bigint::numeric * weight)
    from (values
        (substr(lpad(hex, 32, '0'), 1, 8), 79228162514264337593543950336),
        (substr(lpad(hex, 32, '0'), 9, 8), 18446744073709551616),
        (substr(lpad(hex, 32, '0'), 17, 8), 4294967296),
        (substr(lpad(hex, 32, '0'), 25, 8), 1)
    ) as parts (part, weight)
$$;

-- Ends each session that came with a certificate which is not among the live ones, if it began before the list was
-- taken: whoever connected later may have a certificate that is newer than the list.
create or replace function hotwork.reap(live json, taken timestamptz)
    returns table (pid integer, usename name, serial numeric) language sql as $$
    select ended.pid, ended.usename, ended.client_serial
    from (
        select s.pid, a.usename, s.client_serial, pg_terminate_backend(s.pid) as done
        from pg_stat_ssl s join pg_stat_activity a using (pid)
        where s.client_serial is not null
            and a.backend_start < taken
            and not exists (
                select from json_array_elements(live -> 'credentials') as credential
                where hotwork.serial(nullif(credential ->> 'serial', '')) = s.client_serial
            )
    ) as ended
$$;
