-- Why a role cannot be the runtime role, or null if it can.
select case
    when r.rolname is null then 'there is no such role; create it: create role "' || $1 || '" login'
    when r.rolname = current_user then 'it is the role that migrates, which owns the tables; name another one'
    when r.rolsuper then 'it is a superuser, which has every right; name another one'
    when pg_has_role(r.oid, current_user, 'member') then
        'it is a member of the role that migrates and so owns the tables; revoke that, or name another one'
end as problem
from (values (1)) as once (number)
left join pg_roles as r on r.rolname = $1
