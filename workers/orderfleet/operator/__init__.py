"""The operator: declared Orders become workflows, and what the record tells becomes their status."""
