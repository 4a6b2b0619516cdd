"""Registration: scans of a visit to its reference."""
