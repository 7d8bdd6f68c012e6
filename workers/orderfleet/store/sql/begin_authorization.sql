-- Stores the intent of another authorization under its guard; returns the decision.
select begin_authorization($1, $2, $3)::text as answer
