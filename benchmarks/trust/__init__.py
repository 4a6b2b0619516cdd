"""Trust: what intervals hold, what verdicts catch, what becomes of lesions and volumes."""
