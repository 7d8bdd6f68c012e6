-- Applies a progress.
select record_progress($1, $2::jsonb)
