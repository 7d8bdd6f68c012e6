-- The orphan sweep goes through the orders without an end by their ids, a page at a time.
create index orders_unfinished on orders (order_id) where completed_at is null;
