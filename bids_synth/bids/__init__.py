"""BIDS: datasets to visits, results to derivatives, their names, and the plan of a run."""
