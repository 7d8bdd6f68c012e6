-- Records the counts $1, for the reason $2, by the actor $3.
select count_stock($1, $2, $3) as answer
