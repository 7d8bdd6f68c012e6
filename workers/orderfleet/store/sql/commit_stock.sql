-- Commits the pieces $3 of the owner $1 under the key $2, for the actor $4.
select commit_stock($1, $2, $3, $4) as answer
