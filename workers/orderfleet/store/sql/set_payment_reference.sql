-- Stores the provider's id of a charge or an authorization, unless there is one; returns the stored one.
select set_payment_reference($1, $2, $3) as reference
