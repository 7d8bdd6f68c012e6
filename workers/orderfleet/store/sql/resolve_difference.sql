-- Resolves a difference that a reconciliation no longer found.
update payment_differences set resolved_at = now()
where payment_id = $1 and kind = $2 and key = $3 and resolved_at is null
