"""Raw: from a BIDS dataset to visits, with the scans and what is told of them."""
