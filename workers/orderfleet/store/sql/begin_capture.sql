-- Stores the intent of a capture under its guard; returns the decision.
select begin_capture($1, $2, $3, $4)::text as answer
